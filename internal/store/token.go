package store

import (
	"cmp"
	"context"

	"github.com/lateen-dev/lateen"
)

// CreateToken adds a token; a Scope of "" is stored as [lateen.ScopeFull]. Errors:
// [lateen.ErrUserNotFound].
func (q *Queries) CreateToken(ctx context.Context, t *lateen.Token) error {
	return q.exec(ctx, meaning{dangling: lateen.ErrUserNotFound},
		`INSERT INTO tokens (id, user_id, name, hash, created_at, active_at, expires_at, scope, project_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.ID, t.User, t.Name, t.Hash, t.CreatedAt, t.ActiveAt, t.ExpiresAt, cmp.Or(t.Scope, lateen.ScopeFull), t.Project)
}

// GetTokenByHash returns a token, expired or not, by the hash of its secret.
// Errors: [lateen.ErrTokenInvalid].
func (q *Queries) GetTokenByHash(ctx context.Context, hash string) (*lateen.Token, error) {
	return one(ctx, q, lateen.ErrTokenInvalid, scanToken, selectToken+` WHERE hash = ?`, hash)
}

// ListTokens returns a user's tokens, newest first.
func (q *Queries) ListTokens(ctx context.Context, user lateen.UserID) ([]*lateen.Token, error) {
	return list(ctx, q, scanToken, selectToken+` WHERE user_id = ? ORDER BY created_at DESC, id DESC`, user)
}

// TouchToken sets the time of a token's last use. Errors: [lateen.ErrTokenNotFound].
func (q *Queries) TouchToken(ctx context.Context, id lateen.TokenID, at lateen.Millis) error {
	return q.exec(ctx, meaning{missing: lateen.ErrTokenNotFound},
		`UPDATE tokens SET active_at = ? WHERE id = ?`, at, id)
}

// DeleteToken removes a token of a user. Errors: [lateen.ErrTokenNotFound].
func (q *Queries) DeleteToken(ctx context.Context, user lateen.UserID, id lateen.TokenID) error {
	return q.exec(ctx, meaning{missing: lateen.ErrTokenNotFound},
		`DELETE FROM tokens WHERE user_id = ? AND id = ?`, user, id)
}

const selectToken = `SELECT id, user_id, name, hash, created_at, active_at, expires_at, scope, project_id FROM tokens`

func scanToken(r row) (*lateen.Token, error) {
	t := &lateen.Token{}
	return t, r.Scan(&t.ID, &t.User, &t.Name, &t.Hash, &t.CreatedAt, &t.ActiveAt, &t.ExpiresAt, &t.Scope, &t.Project)
}
