package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testToken(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	old := &lateen.Token{ID: "tok_1", User: user, Name: "laptop", Hash: "aa", CreatedAt: 1, ActiveAt: 2, ExpiresAt: 3, Scope: lateen.ScopeDeploy, Project: project}
	fresh := &lateen.Token{ID: "tok_2", User: user, Name: "ci", Hash: "bb", CreatedAt: 2}
	check(t, s.CreateToken(ctx, old))
	check(t, s.CreateToken(ctx, fresh))
	fresh.Scope = lateen.ScopeFull // the stored form of a token without a scope
	wantResult(t, old)(s.GetTokenByHash(ctx, "aa"))
	wantResult(t, []*lateen.Token{fresh, old})(s.ListTokens(ctx, user))
	_, err := s.GetTokenByHash(ctx, "cc")
	wantError(t, err, lateen.ErrTokenInvalid)
	wantError(t, s.CreateToken(ctx, &lateen.Token{ID: "tok_3", User: "usr_2", Hash: "cc"}), lateen.ErrUserNotFound)

	check(t, s.TouchToken(ctx, "tok_1", 9))
	old.ActiveAt = 9
	wantResult(t, old)(s.GetTokenByHash(ctx, "aa"))
	wantError(t, s.TouchToken(ctx, "tok_3", 9), lateen.ErrTokenNotFound)

	wantError(t, s.DeleteToken(ctx, "usr_2", "tok_1"), lateen.ErrTokenNotFound) // a token of another user
	check(t, s.DeleteToken(ctx, user, "tok_1"))
	wantError(t, s.DeleteToken(ctx, user, "tok_1"), lateen.ErrTokenNotFound)
	wantResult(t, []*lateen.Token{fresh})(s.ListTokens(ctx, user))
}
