package share_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/share"
)

// takeAll takes for a tenant until it is refused, and returns the number.
func takeAll(s *share.Shares[string], tenants ...string) (n int) {
	for s.Take(1, tenants...) {
		n++
	}
	return n
}

// The shares are those of dynamic thresholds with a factor of 1: of 64, the first
// tenant may hold 64/2, and each later one half of the free rest.
func TestATenantMayHoldAsMuchAsItLeavesFree(t *testing.T) {
	s := share.New[string](64)
	var got []int
	for i := range 7 {
		got = append(got, takeAll(s, fmt.Sprint(i)))
	}
	if diff := cmp.Diff([]int{32, 16, 8, 4, 2, 1, 1}, got); diff != "" {
		t.Errorf("seven tenants that take all they may hold (-want +got):\n%s", diff)
	}
	if s.Take(1, "late") {
		t.Error("65 of 64 are held")
	}
	s.Give(10, "0")
	if !s.Take(1, "late") || s.Take(1, "0") {
		t.Error("a tenant that holds nothing does not get the released amount")
	}
}

func TestASubtenantLeavesAShareToOtherSubtenants(t *testing.T) {
	s := share.New[string](64)
	if n := takeAll(s, "team", "token 1"); n != 22 {
		t.Errorf("one token of a team holds %d of 64, want 22", n)
	}
	if n := takeAll(s, "team", "token 2"); n != 7 {
		t.Errorf("another token holds %d, want 7", n)
	}
	if n := takeAll(s, "other", "token 3"); n != 12 {
		t.Errorf("a token of another team holds %d, want 12", n)
	}
}

// hold takes places until none is free for the tenant.
func hold(t *testing.T, p *share.Places[string], tenants ...string) (releases []func()) {
	t.Helper()
	for {
		release, ok := p.TryTake(tenants...)
		if !ok {
			return releases
		}
		releases = append(releases, release)
	}
}

func TestATenantGetsAPlaceAtOnceWhileAnotherHoldsAllItMay(t *testing.T) {
	p := share.NewPlaces[string](8, 100)
	if n := len(hold(t, p, "noisy")); n != 4 {
		t.Errorf("one tenant holds %d of 8 places, want 4", n)
	}
	if n := len(hold(t, p, "quiet")); n != 2 {
		t.Errorf("another gets %d places at once, want 2", n)
	}
}

func TestAPlaceGoesToTheTenantWithTheFewestAndThenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := share.NewTurns[string](2, 100)
		ctx := t.Context()
		first := hold(t, p, "a", "a1")
		order := make(chan string, 100)
		releases := make(chan func(), 100)
		wait := func(tenants ...string) {
			go func() {
				release, err := p.Take(ctx, tenants...)
				if err != nil {
					t.Error(err)
					return
				}
				order <- tenants[1]
				releases <- release
			}()
			synctest.Wait()
		}
		for range 3 {
			wait("a", "a1")
		}
		wait("a", "a2")
		wait("b", "b1")
		wait("b", "b1")
		for _, release := range first { // one after the other, since two grants at once could arrive in any order
			release()
			synctest.Wait()
		}
		for range 4 {
			(<-releases)()
			synctest.Wait()
		}
		var got []string
		for range len(order) {
			got = append(got, <-order)
		}
		// a holds one place and b none, so b is next. Then each holds one: the last
		// grant of a is older, and within a that of a2.
		if diff := cmp.Diff([]string{"b1", "a2", "b1", "a1", "a1", "a1"}, got); diff != "" {
			t.Errorf("the order (-want +got):\n%s", diff)
		}
		for range len(releases) {
			(<-releases)()
		}
	})
}

func TestACanceledClaimReleasesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := share.NewTurns[string](1, 4)
		release, ok := p.TryTake("a")
		if !ok {
			t.Fatal("the first place is not free")
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 3)
		for range 2 {
			go func() { _, err := p.Take(ctx, "b"); ended <- err }()
		}
		synctest.Wait()
		if _, err := p.Take(ctx, "b"); !errors.Is(err, share.ErrFull) {
			t.Errorf("the error of a third claim in a queue of 4 is %v", err)
		}
		cancel(why)
		for range 2 {
			if err := <-ended; !errors.Is(err, why) {
				t.Errorf("the wait ended with %v", err)
			}
		}
		release()
		if _, ok := p.TryTake("c"); !ok {
			t.Error("the place is not free again")
		}
	})
}
