package autoscale_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// scene is a function at some moment of a pause, with settings and costs.
type scene struct {
	pauses  []time.Duration
	elapsed time.Duration
	policy  autoscale.Policy
	costs   autoscale.Costs
}

// stage returns the history, the last arrival and the current time of a scene.
func (s *scene) stage() (h *autoscale.History, last, now time.Time) {
	h, last = arrivals(s.pauses...)
	return h, last, last.Add(s.elapsed)
}

// randomScene returns scenes of all kinds of functions: regular, bursty, erratic,
// rare.
func randomScene(chance *rand.Rand) scene {
	upTo := func(d time.Duration) time.Duration { return time.Duration(chance.Int64N(int64(d))) }
	period, jitter := time.Second+upTo(time.Second<<chance.IntN(17)), time.Duration(1+chance.IntN(5))*time.Second
	s := scene{
		elapsed: upTo(time.Second << chance.IntN(18)),
		policy:  autoscale.Policy{Worth: time.Second << chance.IntN(16), Ahead: chance.Float64(), Least: upTo(10 * time.Second)},
		costs:   autoscale.Costs{Start: time.Millisecond << chance.IntN(14), Memory: 1 << 20 << chance.IntN(12)},
	}
	kind := chance.IntN(4)
	for range chance.IntN(80) {
		pause := upTo(time.Second << chance.IntN(18))
		switch {
		case kind == 0:
			pause = period + upTo(jitter)
		case kind == 1 && chance.IntN(8) > 0:
			pause = upTo(5 * time.Second)
		case kind == 2:
			pause = time.Duration(chance.ExpFloat64() * float64(period))
		}
		s.pauses = append(s.pauses, pause)
	}
	return s
}

// check checks the invariants of plans.
func check(t *testing.T, s scene) {
	t.Helper()
	h, last, now := s.stage()
	before := *h
	keep, absent := s.policy.Keep(h, now, s.costs), s.policy.Prewarm(h, now, s.costs)
	least := s.policy.Least
	if least <= 0 {
		least = time.Second
	}
	if keep.KeepUntil.Before(now.Add(least)) {
		t.Errorf("kept until %s after now, %s are the minimum", keep.KeepUntil.Sub(now), least)
	}
	if !absent.KeepUntil.Equal(now) {
		t.Errorf("there is no instance, but it is kept until %s after now", absent.KeepUntil.Sub(now))
	}
	for _, p := range []autoscale.Plan{keep, absent} {
		if p.PrewarmAt.IsZero() != p.PrewarmUntil.IsZero() {
			t.Errorf("half a window: %+v", p)
		}
		if p.PrewarmAt.IsZero() {
			continue
		}
		if p.PrewarmAt.Before(p.KeepUntil) || p == keep && p.PrewarmAt.Equal(p.KeepUntil) {
			t.Errorf("prewarmed %s before the other instance is stopped", p.KeepUntil.Sub(p.PrewarmAt))
		}
		if !p.PrewarmUntil.After(p.PrewarmAt) {
			t.Errorf("prewarmed for %s", p.PrewarmUntil.Sub(p.PrewarmAt))
		}
		if s.policy.Most > 0 && p.PrewarmUntil.After(last.Add(s.policy.Most)) {
			t.Errorf("kept until %s after the last arrival; %s are the maximum", p.PrewarmUntil.Sub(last), s.policy.Most)
		}
	}
	if *h != before {
		t.Error("planning changed the history")
	}
	if again := s.policy.Keep(h, now, s.costs); again != keep {
		t.Errorf("planned again: %+v, was %+v", again, keep)
	}
}

func TestPlansAreSoundForAllKindsOfFunctions(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 3))
	for range 3_000 {
		check(t, randomScene(chance))
	}
}

func TestKeepTimeGrowsWithTheCostOfAStartAndShrinksWithMemory(t *testing.T) {
	chance := rand.New(rand.NewPCG(4, 4))
	for range 3_000 {
		s := randomScene(chance)
		h, last, now := s.stage()
		kept := func(p autoscale.Policy, c autoscale.Costs) time.Duration {
			p.Ahead = 1e9 // no prewarm joins the time that the instance is kept
			return p.Keep(h, now, c).KeepUntil.Sub(last)
		}
		as := kept(s.policy, s.costs)
		dearer, slower, larger := s.policy, s.costs, s.costs
		dearer.Worth *= 2
		slower.Start *= 2
		larger.Memory *= 2
		if got := kept(dearer, s.costs); got < as {
			t.Fatalf("%+v: kept %s, and %s with a higher price of delay", s, as, got)
		}
		if got := kept(s.policy, slower); got < as {
			t.Fatalf("%+v: kept %s, and %s with a slower start", s, as, got)
		}
		if got := kept(s.policy, larger); got > as {
			t.Fatalf("%+v: kept %s, and %s with more memory", s, as, got)
		}
	}
}

func TestPlanDoesNotDependOnTheDate(t *testing.T) {
	chance := rand.New(rand.NewPCG(5, 5))
	const shift = 12_345_678 * time.Second
	for range 500 {
		s := randomScene(chance)
		h, _, now := s.stage()
		var later autoscale.History
		at := epoch.Add(shift)
		later.Observe(at)
		for _, pause := range s.pauses {
			at = at.Add(pause)
			later.Observe(at)
		}
		a, b := s.policy.Keep(h, now, s.costs), s.policy.Keep(&later, now.Add(shift), s.costs)
		if !a.KeepUntil.Add(shift).Equal(b.KeepUntil) || a.PrewarmAt.IsZero() != b.PrewarmAt.IsZero() {
			t.Fatalf("%+v: %+v, and %s later %+v", s, a, shift, b)
		}
	}
}

func TestPlanHoldsUntilItsTime(t *testing.T) {
	chance := rand.New(rand.NewPCG(6, 6))
	for range 3_000 {
		s := randomScene(chance)
		s.policy.Least = time.Nanosecond
		h, _, now := s.stage()
		first := s.policy.Keep(h, now, s.costs)
		between := now.Add(time.Duration(chance.Float64() * float64(first.KeepUntil.Sub(now))))
		if again := s.policy.Keep(h, between, s.costs); !near(again.KeepUntil, first.KeepUntil) {
			t.Fatalf("%+v: kept for %s; %s on it is for %s", s, first.KeepUntil.Sub(now), between.Sub(now), again.KeepUntil.Sub(now))
		}
	}
}

// near allows for rounding to the nanosecond.
func near(a, b time.Time) bool { return a.Sub(b).Abs() <= 2*time.Nanosecond }

func FuzzPlan(f *testing.F) {
	f.Add([]byte{}, int64(0), int64(0), 0.0, int64(0), int64(0))
	f.Add([]byte("some pauses of different lengths"), int64(time.Minute), int64(time.Hour), 0.25, int64(time.Second), int64(1<<27))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, int64(-1), int64(1), 1e300, int64(1), int64(1))
	f.Fuzz(func(t *testing.T, pauses []byte, elapsed, worth int64, ahead float64, start, memory int64) {
		const years = 3 * 365 * 24 * time.Hour
		s := scene{
			elapsed: time.Duration(elapsed) % years,
			policy:  autoscale.Policy{Worth: time.Duration(worth), Ahead: ahead},
			costs:   autoscale.Costs{Start: time.Duration(start) % years, Memory: memory},
		}
		for len(pauses) >= 4 && len(s.pauses) < 500 {
			s.pauses = append(s.pauses, time.Duration(binary.LittleEndian.Uint32(pauses))*100*time.Microsecond)
			pauses = pauses[4:]
		}
		check(t, s)
	})
}
