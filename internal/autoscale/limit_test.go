package autoscale_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// load simulates rounds of requests on one instance, with as many concurrent
// requests as the limit allows, but at most come; took returns the duration of each
// of n concurrent requests.
func load(l *autoscale.Limit, rounds, come, ceiling int, took func(n int) time.Duration, processors float64) int {
	now := time.Unix(1000, 0)
	for range rounds {
		limit := l.At(ceiling)
		n := min(come, limit)
		d := took(n)
		now = now.Add(d)
		for range n {
			l.Observe(autoscale.Answered{At: now, Took: d, Company: n, Full: n == limit, Load: processors}, ceiling)
		}
	}
	return l.At(ceiling)
}

func TestTheLimitFollowsTheCostOfConcurrency(t *testing.T) {
	const ms = time.Millisecond
	waits := func(int) time.Duration { return 100 * ms }
	renders := func(n int) time.Duration { return time.Duration(n) * 20 * ms }
	quick := func(n int) time.Duration { return time.Duration(n) * 200 * time.Microsecond }
	blocked := func(n int) time.Duration { return time.Duration(max(1, n/8)) * 50 * ms }
	for _, tt := range []struct {
		name     string
		took     func(int) time.Duration
		come     int
		ceiling  int
		load     float64
		from, to int
	}{
		{"a function that waits reaches the ceiling", waits, 500, 64, 0.1, 64, 64},
		{"a function that computes takes two", renders, 500, 64, 1, 1, 3},
		{"a short function takes dozens", quick, 500, 64, 1, 32, 64},
		{"a function that queues for eight connections takes twice as many", blocked, 500, 64, 0.1, 8, 24},
		{"the ceiling holds", waits, 500, 5, 0, 5, 5},
		{"few requests do not change the limit", waits, 3, 64, 0, 16, 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l autoscale.Limit
			load(&l, 3, 1, tt.ceiling, tt.took, 0)
			if got := load(&l, 400, tt.come, tt.ceiling, tt.took, tt.load); got < tt.from || got > tt.to {
				t.Errorf("the limit is %d, want %d to %d", got, tt.from, tt.to)
			}
		})
	}
}

func TestALimitIsLearnedWithoutAnyRequestAlone(t *testing.T) {
	var l autoscale.Limit
	got := load(&l, 200, 500, 64, func(n int) time.Duration { return time.Duration(n) * 20 * time.Millisecond }, 1)
	if got > 3 {
		t.Errorf("the limit is %d, want 3 at most: the CPU is busy and the requests run one after the other", got)
	}
}

func TestALimitDoesNotFallBecauseOfOtherProcesses(t *testing.T) {
	var l autoscale.Limit
	now := time.Unix(1000, 0)
	for i := range 2000 {
		now = now.Add(time.Millisecond)
		a := autoscale.Answered{At: now, Took: 2 * time.Millisecond, Company: 1}
		if i > 20 { // another program keeps the machine busy
			a = autoscale.Answered{At: now, Took: 80 * time.Millisecond, Company: 12, Full: true, Hindered: true, CPU: 400 * time.Microsecond}
		}
		l.Observe(a, 64)
	}
	if got := l.At(64); got != 16 {
		t.Errorf("the limit is %d, want 16 as before: 12 requests of 0.4ms do not take 80ms because of each other", got)
	}
}

func TestALimitRecoversWhenTheFunctionGetsFaster(t *testing.T) {
	var l autoscale.Limit
	slow := func(n int) time.Duration { return time.Duration(n) * 20 * time.Millisecond }
	load(&l, 3, 1, 64, slow, 0)
	before := load(&l, 300, 500, 64, slow, 1)
	after := load(&l, 300, 500, 64, func(int) time.Duration { return 20 * time.Millisecond }, 0.2)
	if before > 3 || after < 32 {
		t.Errorf("%d, then %d; want few and then many", before, after)
	}
}

func TestALimitIsAlwaysWithinItsBounds(t *testing.T) {
	var l autoscale.Limit
	now := time.Unix(1000, 0)
	for i := range 10_000 {
		now = now.Add(time.Duration(i%7) * 13 * time.Millisecond)
		ceiling := i%9 - 1
		l.Observe(autoscale.Answered{At: now, Took: time.Duration(i*i%1000) * time.Millisecond, Company: i % 70, Full: i%2 == 0, Load: float64(i%3) - 1}, ceiling)
		if got := l.At(ceiling); got < 1 || got > max(1, ceiling) {
			t.Fatalf("%d of at most %d", got, ceiling)
		}
	}
}

// turn simulates n concurrent requests on one thread. Each waits for a random time,
// then computes. It returns the duration of each request, the number of ticks of a
// timer of 25 ms meanwhile, and the sum of the timer's delays.
func turn(chance *rand.Rand, n int, compute, least, most time.Duration) (took []time.Duration, ticks float64, late time.Duration) {
	const tick = 25 * time.Millisecond
	ready := make([]time.Duration, n) // end of the wait of each request
	for i := range ready {
		ready[i] = least + time.Duration(chance.Int64N(int64(most-least)+1))
	}
	slices.Sort(ready)
	now, due := time.Duration(0), tick
	for len(ready) > 0 {
		if ready[0] > due && now <= due { // no request is ready
			now, due = due, due+tick
			ticks++
			continue
		}
		now = max(now, ready[0])
		for len(ready) > 0 && ready[0] <= now { // all ready requests run before the timer
			now += compute
			took = append(took, now)
			ready = ready[1:]
		}
		if now >= due {
			late += now - due
			ticks++
			due = now + tick
		}
	}
	return took, ticks, late
}

func TestTheLimitFollowsTheDelayOfTheEventLoop(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name        string
		compute     time.Duration
		least, most time.Duration // bounds of the time that a request waits
		from, to    int
		deaf        int // lower bound of the limit that is learned without the event loop's delay; 0 is no check
	}{
		{name: "computes for 50ms, does not wait", compute: 50 * ms, from: 1, to: 2},
		{name: "waits for up to three seconds and computes for 80ms", compute: 80 * ms, least: 10 * ms, most: 3000 * ms, from: 4, to: 24, deaf: 28},
		{name: "waits for up to three seconds and computes for 200ms", compute: 200 * ms, least: 10 * ms, most: 3000 * ms, from: 1, to: 8, deaf: 12},
		{name: "waits for up to three seconds", compute: 200 * time.Microsecond, least: 10 * ms, most: 3000 * ms, from: 24, to: 64},
		{name: "waits for 100ms", compute: 200 * time.Microsecond, least: 100 * ms, most: 100 * ms, from: 64, to: 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play := func(hears bool) int {
				var l autoscale.Limit
				chance := rand.New(rand.NewPCG(3, 3))
				now := time.Unix(1000, 0)
				for range 400 {
					n := l.At(64)
					took, ticks, late := turn(chance, n, tt.compute, tt.least, tt.most)
					if hears {
						l.Delayed(ticks, late)
					}
					for _, d := range took {
						l.Observe(autoscale.Answered{At: now.Add(d), Took: d, Company: n, Full: true}, 64)
					}
					now = now.Add(took[len(took)-1])
				}
				return l.At(64)
			}
			if got := play(true); got < tt.from || got > tt.to {
				t.Errorf("the limit is %d, want %d to %d", got, tt.from, tt.to)
			}
			if got := play(false); got < tt.deaf {
				t.Errorf("the limit is %d without the event loop's delay, want %d: the test would show nothing", got, tt.deaf)
			}
		})
	}
}

func TestReportsOfTheEventLoopAreBounded(t *testing.T) {
	var l autoscale.Limit
	now := time.Unix(1000, 0)
	for i, claim := range []struct {
		ticks float64
		late  time.Duration
	}{{0, time.Hour}, {-5, time.Hour}, {math.NaN(), time.Hour}, {1, -time.Hour}, {math.Inf(1), 0}, {1, math.MaxInt64}, {1e300, math.MaxInt64}} {
		l.Delayed(claim.ticks, claim.late)
		for range 100 {
			now = now.Add(10 * time.Millisecond)
			l.Observe(autoscale.Answered{At: now, Took: 20 * time.Millisecond, Company: 8, Full: true}, 64)
		}
		if got := l.At(64); got < 1 || got > 64 {
			t.Fatalf("claim %d: the limit is %d", i, got)
		}
	}
	for range 2000 {
		now = now.Add(10 * time.Millisecond)
		l.Observe(autoscale.Answered{At: now, Took: 20 * time.Millisecond, Company: 8, Full: true}, 64)
	}
	if got := l.At(64); got != 64 {
		t.Errorf("the limit is %d long after the last false report, want 64", got)
	}
}

func TestAnEventLoopDelayedByOtherProcessesDoesNotLowerTheLimit(t *testing.T) {
	var l autoscale.Limit
	now := time.Unix(1000, 0)
	for range 2000 {
		now = now.Add(time.Millisecond)
		l.Delayed(1, 80*time.Millisecond)
		l.Observe(autoscale.Answered{At: now, Took: 2 * time.Millisecond, Company: 12, Full: true, Hindered: true, CPU: 400 * time.Microsecond}, 64)
	}
	if got := l.At(64); got != 16 {
		t.Errorf("the limit is %d, want 16 as before: 12 requests of 0.4ms do not hold up their event loop for 80ms", got)
	}
}
