package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testLease(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateDeployment(ctx, newDeployment("dpl_1", 1)))
	seen := func() store.Lease {
		t.Helper()
		waiting, err := s.ListUnfinished(ctx)
		check(t, err)
		return waiting[0].Lease
	}
	none := seen()
	wantResult(t, store.Lease{})(none, nil)
	wantResult(t, true)(s.TakeLease(ctx, "dpl_1", none, "a"))
	wantResult(t, false)(s.TakeLease(ctx, "dpl_1", none, "b")) // it has changed meanwhile
	wantResult(t, "a")(s.LeaseOwner(ctx, "dpl_1"))
	first := seen()
	wantResult(t, true)(s.RenewLease(ctx, "dpl_1", "a"))
	wantResult(t, false)(s.RenewLease(ctx, "dpl_1", "b"))
	wantResult(t, false)(s.TakeLease(ctx, "dpl_1", first, "b")) // the owner renewed it
	wantResult(t, true)(s.TakeLease(ctx, "dpl_1", seen(), "b"))
	wantResult(t, false)(s.RenewLease(ctx, "dpl_1", "a"))
	check(t, s.EndLease(ctx, "dpl_1", "a")) // not the owner
	wantResult(t, "b")(s.LeaseOwner(ctx, "dpl_1"))
	check(t, s.EndLease(ctx, "dpl_1", "b"))
	wantResult(t, "")(s.LeaseOwner(ctx, "dpl_1"))
	wantResult(t, false)(s.TakeLease(ctx, "dpl_1", none, "c")) // turns do not repeat
	_, err := s.LeaseOwner(ctx, "dpl_2")
	wantError(t, err, lateen.ErrDeploymentNotFound)
}
