package store

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// CreateInvitation adds an invitation. Errors: [lateen.ErrTeamNotFound].
func (q *Queries) CreateInvitation(ctx context.Context, i *lateen.Invitation) error {
	return q.exec(ctx, meaning{dangling: lateen.ErrTeamNotFound},
		`INSERT INTO invitations (id, team_id, email, role, hash, creator_id, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		i.ID, i.Team, i.Email, i.Role, i.Hash, i.Creator, i.CreatedAt, i.ExpiresAt)
}

// GetInvitationByHash returns an invitation, expired or not, by the hash of its
// secret. Errors: [lateen.ErrInvitationInvalid].
func (q *Queries) GetInvitationByHash(ctx context.Context, hash string) (*lateen.Invitation, error) {
	return one(ctx, q, lateen.ErrInvitationInvalid, scanInvitation, selectInvitation+` WHERE hash = ?`, hash)
}

// ListInvitations returns the invitations of a team, also expired ones, newest
// first.
func (q *Queries) ListInvitations(ctx context.Context, team lateen.TeamID) ([]*lateen.Invitation, error) {
	return list(ctx, q, scanInvitation, selectInvitation+` WHERE team_id = ? ORDER BY created_at DESC, id DESC`, team)
}

// DeleteInvitation removes an invitation of a team. Errors: [lateen.ErrInvitationNotFound].
func (q *Queries) DeleteInvitation(ctx context.Context, team lateen.TeamID, id lateen.InvitationID) error {
	return q.exec(ctx, meaning{missing: lateen.ErrInvitationNotFound}, `DELETE FROM invitations WHERE team_id = ? AND id = ?`, team, id)
}

const selectInvitation = `SELECT id, team_id, email, role, hash, creator_id, created_at, expires_at FROM invitations`

func scanInvitation(r row) (*lateen.Invitation, error) {
	i := &lateen.Invitation{}
	return i, r.Scan(&i.ID, &i.Team, &i.Email, &i.Role, &i.Hash, &i.Creator, &i.CreatedAt, &i.ExpiresAt)
}
