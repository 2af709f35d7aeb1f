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
	wantError(t, s.CreateInvitation(ctx, &lateen.Invitation{ID: "inv_3", Team: "team_2", Hash: "cc"}), lateen.ErrTeamNotFound)
	wantResult(t, old)(s.GetInvitationByHash(ctx, "aa"))
	_, err := s.GetInvitationByHash(ctx, "cc")
	wantError(t, err, lateen.ErrInvitationInvalid)
	wantResult(t, []*lateen.Invitation{fresh, old})(s.ListInvitations(ctx, team))
	wantError(t, s.DeleteInvitation(ctx, "team_2", "inv_1"), lateen.ErrInvitationNotFound)
	check(t, s.DeleteInvitation(ctx, team, "inv_1"))
	wantError(t, s.DeleteInvitation(ctx, team, "inv_1"), lateen.ErrInvitationNotFound)
	wantResult(t, []*lateen.Invitation{fresh})(s.ListInvitations(ctx, team))
}
