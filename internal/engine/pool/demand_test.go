package pool

import (
	"math/rand/v2"
	"testing"
	"time"
)

const eachTest = 65 * time.Millisecond // duration of a refill when two processors boot in 130 ms

// start is the time at which tests begin.
func start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func TestUnusedPoolsAreEmpty(t *testing.T) {
	var d demand
	if size := d.size(start(), 2); size != 0 {
		t.Errorf("a runtime without claims has %d", size)
	}
	d.claim(start(), eachTest)
	for _, test := range []struct {
		after time.Duration
		floor int
		want  int
	}{{0, 2, 2}, {0, 7, 7}, {0, 0, 0}, {0, -1, 0}, {forgetAfter - 1, 2, 2}, {forgetAfter + 1, 2, 0}} {
		if size := d.size(start().Add(test.after), test.floor); size != test.want {
			t.Errorf("%v after a claim, with a floor of %d, the size is %d; want %d", test.after, test.floor, size, test.want)
		}
	}
}

func TestBurstsMakePoolsGrowAndQuietShrinksThem(t *testing.T) {
	for _, burst := range []int{1, 2, 3, 10, 100, 1000} {
		var d demand
		now := start()
		for range burst {
			d.claim(now, eachTest)
		}
		size := d.size(now, 2)
		if size < burst || size > max(2, burst*2) {
			t.Errorf("after a burst of %d the size is %d", burst, size)
		}
		for range 200 {
			now = now.Add(time.Minute)
			after := d.size(now, 2)
			if after > size {
				t.Fatalf("the size grows from %d to %d without a claim", size, after)
			}
			if 2*after < size-2 {
				t.Fatalf("the size shrinks from %d to %d in a minute", size, after)
			}
			size = after
		}
		if size != 2 {
			t.Errorf("after a burst of %d the size does not return to the floor, but to %d", burst, size)
		}
	}
}

func TestSlowClaimsDoNotGrowThePool(t *testing.T) {
	var d demand
	now := start()
	for range 10_000 {
		d.claim(now, eachTest)
		now = now.Add(QuietAfter + eachTest)
	}
	if size := d.size(now, 2); size != 2 {
		t.Errorf("the size is %d", size)
	}
}

func TestSteadyClaimsGrowThePoolUpToALimit(t *testing.T) {
	var d demand
	now, gap := start(), QuietAfter*3/4 // never quiet, and slower than refills
	for range 1000 {
		d.claim(now, eachTest)
		now = now.Add(gap)
	}
	if size, most := d.size(now, 2), headroom*(float64(MaxBurstWait/gap)+2); float64(size) > most {
		t.Errorf("the size is %d, more than %v, the claims during MaxBurstWait", size, most)
	}
}

// TestAPoolOfThePeakServesItsClaimsAtOnce replays random claims on a pool of the
// size that demand computed from them, with the refills that the pool would start.
func TestAPoolOfThePeakServesItsClaimsAtOnce(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var claims []time.Time
		for now := start(); len(claims) < 300; now = now.Add(time.Duration(random.ExpFloat64() * float64(time.Second))) {
			for range 1 + random.IntN(1+random.IntN(20)) {
				claims = append(claims, now)
			}
		}
		var d demand
		for _, at := range claims {
			d.claim(at, eachTest)
		}
		size := d.size(claims[len(claims)-1], 1)
		ready, done := float64(size), claims[0] // ready processes and time at the last step
		short := claims[0]
		for n, at := range claims {
			begin := done
			if n > 0 {
				quiet := claims[n-1].Add(QuietAfter)
				if late := short.Add(MaxBurstWait); late.Before(quiet) {
					quiet = late
				}
				if quiet.After(begin) {
					begin = quiet
				}
			}
			if at.After(begin) {
				ready = min(float64(size), ready+at.Sub(begin).Seconds()/eachTest.Seconds())
				done = at
			}
			if ready == float64(size) {
				short = at
			}
			if ready--; ready < 0 {
				t.Fatalf("seed %d: a pool of %d is empty at claim %d", seed, size, n)
			}
		}
	}
}

func TestPoolsShareTheirMemory(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		wishes := make([]wish, 1+random.IntN(5))
		var floors, all int64
		for i := range wishes {
			w := wish{floor: random.IntN(4), size: random.IntN(100), each: 1 + random.Int64N(64)}
			wishes[i] = w
			floors += int64(min(w.floor, w.size)) * w.each
			all += int64(w.size) * w.each
		}
		budget := random.Int64N(5000)
		var used int64
		for i, size := range within(budget, wishes) {
			w := wishes[i]
			if size < min(w.floor, w.size) || size > w.size {
				t.Fatalf("of %+v, a pool with %+v has %d", wishes, w, size)
			}
			used += int64(size) * w.each
			if all <= budget && size != w.size {
				t.Fatalf("%+v fit into %d, but one has %d", wishes, budget, size)
			}
		}
		if used > max(budget, floors) {
			t.Fatalf("%+v use %d of %d", wishes, used, budget)
		}
	}
}

func TestRefillsAreConcurrentOnlyBelowHalf(t *testing.T) {
	for _, test := range []struct{ ready, size, processors, want int }{
		{0, 0, 8, 0}, {2, 2, 8, 0}, {3, 2, 8, 0}, {1, 2, 8, 1}, {0, 2, 8, 2}, {0, 100, 8, 8}, {49, 100, 8, 8}, {50, 100, 8, 1}, {0, 1, 8, 1}, {0, 100, 1, 1},
	} {
		if got := refills(test.ready, test.size, test.processors); got != test.want {
			t.Errorf("with %d of %d and %d processors: %d, want %d", test.ready, test.size, test.processors, got, test.want)
		}
	}
}
