package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testInvitation(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	old := &lateen.Invitation{ID: "inv_1", Team: team, Email: "bob@example.com", Role: lateen.Viewer, Hash: "aa", Creator: user, CreatedAt: 1, ExpiresAt: 2}
	fresh := &lateen.Invitation{ID: "inv_2", Team: team, Email: "eve@example.com", Role: lateen.Owner, Hash: "bb", CreatedAt: 2}
	check(t, s.CreateInvitation(ctx, old))
	check(t, s.CreateInvitation(ctx, fresh))
	fails(t, s.CreateInvitation(ctx, &lateen.Invitation{ID: "inv_3", Team: "team_2", Hash: "cc"}), lateen.ErrTeamNotFound)
	is(t, old)(s.GetInvitationByHash(ctx, "aa"))
	_, err := s.GetInvitationByHash(ctx, "cc")
	fails(t, err, lateen.ErrInvitationInvalid)
	is(t, []*lateen.Invitation{fresh, old})(s.ListInvitations(ctx, team))
	fails(t, s.DeleteInvitation(ctx, "team_2", "inv_1"), lateen.ErrInvitationNotFound)
	check(t, s.DeleteInvitation(ctx, team, "inv_1"))
	fails(t, s.DeleteInvitation(ctx, team, "inv_1"), lateen.ErrInvitationNotFound)
	is(t, []*lateen.Invitation{fresh})(s.ListInvitations(ctx, team))
}
