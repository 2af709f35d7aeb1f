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
	is(t, old)(s.GetTokenByHash(ctx, "aa"))
	is(t, []*lateen.Token{fresh, old})(s.ListTokens(ctx, user))
	_, err := s.GetTokenByHash(ctx, "cc")
	fails(t, err, lateen.ErrTokenInvalid)
	fails(t, s.CreateToken(ctx, &lateen.Token{ID: "tok_3", User: "usr_2", Hash: "cc"}), lateen.ErrUserNotFound)

	check(t, s.TouchToken(ctx, "tok_1", 9))
	old.ActiveAt = 9
	is(t, old)(s.GetTokenByHash(ctx, "aa"))
	fails(t, s.TouchToken(ctx, "tok_3", 9), lateen.ErrTokenNotFound)

	fails(t, s.DeleteToken(ctx, "usr_2", "tok_1"), lateen.ErrTokenNotFound) // a token of another user
	check(t, s.DeleteToken(ctx, user, "tok_1"))
	fails(t, s.DeleteToken(ctx, user, "tok_1"), lateen.ErrTokenNotFound)
	is(t, []*lateen.Token{fresh})(s.ListTokens(ctx, user))
}
