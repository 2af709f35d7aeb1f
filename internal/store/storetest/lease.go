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
	is(t, store.Lease{})(none, nil)
	is(t, true)(s.TakeLease(ctx, "dpl_1", none, "a"))
	is(t, false)(s.TakeLease(ctx, "dpl_1", none, "b")) // it has changed meanwhile
	is(t, "a")(s.LeaseOwner(ctx, "dpl_1"))
	first := seen()
	is(t, true)(s.RenewLease(ctx, "dpl_1", "a"))
	is(t, false)(s.RenewLease(ctx, "dpl_1", "b"))
	is(t, false)(s.TakeLease(ctx, "dpl_1", first, "b")) // the owner renewed it
	is(t, true)(s.TakeLease(ctx, "dpl_1", seen(), "b"))
	is(t, false)(s.RenewLease(ctx, "dpl_1", "a"))
	check(t, s.EndLease(ctx, "dpl_1", "a")) // not the owner
	is(t, "b")(s.LeaseOwner(ctx, "dpl_1"))
	check(t, s.EndLease(ctx, "dpl_1", "b"))
	is(t, "")(s.LeaseOwner(ctx, "dpl_1"))
	is(t, false)(s.TakeLease(ctx, "dpl_1", none, "c")) // turns do not repeat
	_, err := s.LeaseOwner(ctx, "dpl_2")
	fails(t, err, lateen.ErrDeploymentNotFound)
}
