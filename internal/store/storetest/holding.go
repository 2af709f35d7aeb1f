package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testHolding(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateTeam(ctx, &lateen.Team{ID: "team_2", Slug: "other"}))
	a, b := lateen.Blob{Digest: "a", Size: 1 << 40}, lateen.Blob{Digest: "b", Size: 7}
	wantResult(t, a.Size)(s.PutHoldings(ctx, team, []lateen.Blob{a, a}, 1))
	wantResult(t, b.Size)(s.PutHoldings(ctx, team, []lateen.Blob{a, b}, 2))
	wantResult(t, b.Size)(s.PutHoldings(ctx, "team_2", []lateen.Blob{b}, 3))
	_, err := s.PutHoldings(ctx, "team_3", []lateen.Blob{a}, 3)
	wantError(t, err, lateen.ErrTeamNotFound)
	wantResult(t, a.Size+b.Size)(s.SumHoldings(ctx, team))
	wantResult(t, int64(0))(s.SumHoldings(ctx, "team_3"))
	wantResult(t, []lateen.Digest{"a", "b"})(s.ListHoldings(ctx, 3))
	check(t, s.DeleteHoldings(ctx, []lateen.Digest{"a", "b"}, 3))
	wantResult(t, int64(0))(s.SumHoldings(ctx, team))
	wantResult(t, b.Size)(s.SumHoldings(ctx, "team_2"))
}
