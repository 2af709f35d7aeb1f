package autoscale_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

func TestAHistorySurvivesItsEncoding(t *testing.T) {
	chance := rand.New(rand.NewPCG(5, 5))
	for range 500 {
		s := randomScene(chance)
		h, _, now := s.stage()
		b, err := h.AppendBinary([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		var again autoscale.History
		if err := again.UnmarshalBinary(b[len("before"):]); err != nil {
			t.Fatal(err)
		}
		if again != *h {
			t.Fatal("another history")
		}
		if want, got := s.policy.Keep(h, now, s.costs), s.policy.Keep(&again, now, s.costs); got != want {
			t.Fatalf("planned %v, want %v", got, want)
		}
	}
}

func FuzzDamagedHistoryHasPlans(f *testing.F) {
	h, _ := arrivals(times(5, time.Hour)...)
	b, _ := h.AppendBinary(nil)
	f.Add(b)
	f.Add(b[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, last := arrivals(time.Minute)
		before := *h
		if err := h.UnmarshalBinary(b); err != nil {
			if *h != before {
				t.Fatal("half read")
			}
			return
		}
		now := last.Add(time.Hour)
		if plan := (autoscale.Policy{}).Keep(h, now, autoscale.Costs{}); plan.KeepUntil.Before(now) {
			t.Fatalf("kept until %s, which is over", plan.KeepUntil)
		}
	})
}
