package rounds_test

import (
	"testing"

	"github.com/lateen-dev/lateen/internal/rounds"
)

// fill takes places for a tenant until it gets no more, and returns how many.
func fill(s *rounds.Shares[string], tenant string) (n int) {
	for s.Take(tenant) {
		n++
	}
	return n
}

func TestSharesLeavePlacesForTenantsThatHoldNone(t *testing.T) {
	s := rounds.NewShares[string](32)
	if n := fill(s, "busy"); n != 16 {
		t.Errorf("one busy tenant holds %d of 32 places, want half", n)
	}
	if n := fill(s, "busy too"); n != 8 {
		t.Errorf("a second busy tenant holds %d places, want half of the rest", n)
	}
	for _, tenant := range []string{"a", "b", "c"} {
		if !s.Take(tenant) {
			t.Errorf("%s, which holds no place, gets none", tenant)
		}
	}
}

func TestSharesGrowAsOthersGivePlacesBack(t *testing.T) {
	s := rounds.NewShares[string](6)
	first := fill(s, "first")
	second := fill(s, "second")
	for range first {
		s.Give("first")
	}
	if more := fill(s, "second"); second+more != 3 {
		t.Errorf("the tenant that is alone now holds %d of 6 places, want half", second+more)
	}
	if n := fill(rounds.NewShares[string](1), "only"); n != 1 {
		t.Errorf("a tenant gets %d places where there is one", n)
	}
	if s := rounds.NewShares[string](0); s.Take("any") {
		t.Error("a place was taken where there is none")
	}
}
