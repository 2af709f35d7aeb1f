package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakePools runs pools with fake processes that take only time.
type fakePools struct {
	*Pools[*fakeProcess]

	t     *testing.T
	takes time.Duration // duration of a boot
	fails error         // error of boots, if any
	end   func()        // ends Run

	mu       sync.Mutex // guards the fields below
	boots    int        // number of boots so far
	at, most int        // concurrent boots: now, and the maximum so far
	forks    bool
	killed   int

	burst Burst
}

// fakeProcess is a fake process.
type fakeProcess struct {
	pools      *fakePools
	background bool
	dead       bool
	claims     int
}

func (h *fakeProcess) Claim() bool {
	h.pools.mu.Lock()
	defer h.pools.mu.Unlock()
	h.claims++
	h.background = false
	return !h.dead
}

func (h *fakeProcess) Lost() bool {
	h.pools.mu.Lock()
	defer h.pools.mu.Unlock()
	return h.dead
}

func (h *fakeProcess) Memory() int64 { return 1 << 20 }

func (h *fakeProcess) Kill() {
	h.pools.mu.Lock()
	defer h.pools.mu.Unlock()
	h.dead = true
	h.pools.killed++
}

func (y *fakePools) bootOne(ctx context.Context, _ string, background bool, spawned func(*fakeProcess)) (*fakeProcess, error) {
	h := &fakeProcess{pools: y, background: background}
	y.mu.Lock()
	y.boots++
	y.at++
	y.most = max(y.most, y.at)
	takes, fails := y.takes, y.fails
	y.mu.Unlock()
	defer func() {
		y.mu.Lock()
		y.at--
		y.mu.Unlock()
	}()
	spawned(h)
	if Pause(ctx, takes); ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if fails != nil {
		return nil, fails
	}
	return h, nil
}

// newFakePools returns pools that run until the end of the test's bubble.
func newFakePools(t *testing.T, floor, runtimes int) *fakePools {
	t.Helper()
	y := &fakePools{t: t, takes: firstBoot}
	o := Options[*fakeProcess]{
		Floor: floor, Processors: 2, Budget: 1 << 40, Boot: y.bootOne, Log: slog.New(slog.DiscardHandler), Burst: &y.burst,
		Find:  func(context.Context, string) error { return nil },
		Spare: func() int64 { return 1 << 40 }, Reserved: func() int64 { return 0 },
		Forks: func(string) bool {
			y.mu.Lock()
			defer y.mu.Unlock()
			return y.forks
		},
	}
	for n := range runtimes {
		o.Runtimes = append(o.Runtimes, fmt.Sprint("runtime ", n))
	}
	y.Pools = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		y.Run(ctx)
	}()
	y.end = func() {
		cancel()
		<-done
	}
	t.Cleanup(y.end)
	return y
}

// needed returns the pool of a runtime that is found and that [Pool.Need] holds.
func (y *fakePools) needed(n int) *Pool[*fakeProcess] {
	p := y.all[n]
	p.Need()
	if err := p.Find(y.t.Context()); err != nil {
		y.t.Fatal(err)
	}
	return p
}

// read reads a number that boots change.
func (y *fakePools) read(n *int) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return *n
}

func (y *fakePools) claim(ctx context.Context, p *Pool[*fakeProcess]) (*fakeProcess, bool) {
	y.t.Helper()
	defer y.burst.Enter()()
	h, ready, err := p.Claim(ctx, Tenant{})
	if err != nil {
		y.t.Fatal(err)
	}
	return h, ready
}

// killFrom kills the processes of a pool after the first n.
func (y *fakePools) killFrom(p *Pool[*fakeProcess], n int) {
	y.Pools.mu.Lock()
	defer y.Pools.mu.Unlock()
	for _, b := range p.ready[n:] {
		b.Kill()
	}
}

// has waits and then returns the state of a pool.
func (y *fakePools) has(p *Pool[*fakeProcess], after time.Duration) (ready, booting int) {
	time.Sleep(after)
	synctest.Wait()
	y.Pools.mu.Lock()
	defer y.Pools.mu.Unlock()
	return len(p.ready), len(p.boots)
}

func TestPoolsFillOnceTheirRuntimeIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 2, 2)
		used, unused := y.all[0], y.all[1]
		if ready, booting := y.has(used, time.Hour); ready+booting > 0 {
			t.Errorf("before any claim %d are ready, %d boot", ready, booting)
		}
		began := time.Now()
		if _, ready := y.claim(t.Context(), used); ready {
			t.Error("a process was ready before the first boot")
		}
		if took := time.Since(began); took != firstBoot {
			t.Errorf("the first claim took %v", took)
		}
		if ready, _ := y.has(used, time.Second); ready != 2 {
			t.Errorf("%d are ready after a claim", ready)
		}
		if _, ready := y.claim(t.Context(), used); !ready {
			t.Error("the second claim found no ready process")
		}
		if ready, booting := y.has(unused, time.Minute); ready+booting > 0 {
			t.Errorf("of an unused runtime %d are ready, %d boot", ready, booting)
		}
		if ready, _ := y.has(used, forgetAfter); ready != 0 {
			t.Errorf("%d are ready of a runtime without recent claims", ready)
		}
		used.Need()
		used.Find(t.Context())
		if ready, _ := y.has(used, forgetAfter*2); ready != 2 {
			t.Errorf("%d are ready of a runtime that is always needed", ready)
		}
	})
}

func TestDisabledPoolsBootOneProcessPerClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, -1, 1)
		for n := range 3 {
			y.claim(t.Context(), y.all[0])
			if y.has(y.all[0], time.Minute); y.read(&y.boots) != n+1 {
				t.Fatalf("%d claims have booted %d", n+1, y.boots)
			}
		}
	})
}

func TestRefillsWaitForTheEndOfABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 2, 1)
		p := y.needed(0)
		y.has(p, time.Second)
		y.claim(t.Context(), p)
		if _, booting := y.has(p, QuietAfter-time.Millisecond); booting != 0 {
			t.Error("a refill began at once")
		}
		if _, booting := y.has(p, 2*time.Millisecond); booting != 1 {
			t.Errorf("%d refills began when all was quiet", booting)
		}
		y.has(p, time.Second)

		defer y.burst.Enter()()
		y.claim(t.Context(), p)
		if _, booting := y.has(p, MaxBurstWait-10*time.Millisecond); booting != 0 {
			t.Error("a refill began while a start was under way")
		}
		if _, booting := y.has(p, 20*time.Millisecond); booting != 1 {
			t.Error("the refill waits longer than MaxBurstWait")
		}
	})
}

func TestClaimsTakeOverRefills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 1, 1)
		p := y.needed(0)
		if _, booting := y.has(p, firstBoot*3/4); booting != 1 {
			t.Fatal("no refill is under way")
		}
		began := time.Now()
		h, ready := y.claim(t.Context(), p)
		if took := time.Since(began); took != firstBoot/4+firstBoot%4 && took != firstBoot/4 {
			t.Errorf("the claim took %v", took)
		}
		if ready || h.background || y.read(&y.boots) != 1 {
			t.Errorf("ready %v, in the background %v, after %d boots", ready, h.background, y.read(&y.boots))
		}
		if h.claims != 2 {
			t.Errorf("the process left the background %d times", h.claims-1)
		}
	})
}

func TestBurstsBootAFewAtOnceFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 2, 2)
		y.needed(0)
		y.needed(1)
		y.has(y.all[0], time.Minute)
		y.mu.Lock()
		y.most = 0
		y.mu.Unlock()
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() {
				y.claim(t.Context(), y.all[n%2])
				mu.Lock()
				defer mu.Unlock()
				order = append(order, n)
			})
			synctest.Wait()
		}
		began := time.Now()
		all.Wait()
		if took, want := time.Since(began), 48*firstBoot; took != want {
			t.Errorf("it took %v, want %v", took, want)
		}
		if most := y.read(&y.most); most != 2 {
			t.Errorf("%d booted at once", most)
		}
		for at, n := range order {
			if n-at > 2 || at-n > 2 {
				t.Fatalf("number %d was served as number %d", n, at)
			}
		}
		ready, _ := y.has(y.all[0], time.Minute)
		if ready < 50 {
			t.Errorf("after a burst of 50 it has %d", ready)
		}
		if ready, _ := y.has(y.all[0], 12*time.Hour); ready != 2 {
			t.Errorf("half a day after it has %d", ready)
		}
	})
}

func TestCanceledClaimsLeaveTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 1, 1)
		p := y.all[0]
		gone, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if b, _, err := p.Claim(gone, Tenant{}); !errors.Is(err, context.Canceled) {
					t.Errorf("the claim got %v, %v", b, err)
				}
			})
		}
		synctest.Wait()
		leave()
		all.Wait()
		if _, err := y.Leave(gone, Tenant{}); !errors.Is(err, context.Canceled) {
			t.Errorf("leave after the end: %v", err)
		}
		began := time.Now()
		y.claim(t.Context(), p)
		if took := time.Since(began); took > firstBoot {
			t.Errorf("the next claim waited %v", took)
		}
		y.has(p, time.Minute)
		y.Pools.mu.Lock()
		defer y.Pools.mu.Unlock()
		if y.soloBoots != 0 || len(y.queue) != 0 || len(p.waiters) != 0 {
			t.Errorf("%d boot alone, %d and %d wait", y.soloBoots, len(y.queue), len(p.waiters))
		}
	})
}

func TestBootsAreAdmittedInFairOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 1, 1)
		p := y.all[0]
		first, err := y.Leave(t.Context(), Tenant{})
		if err != nil {
			t.Fatal(err)
		}
		second, err := y.Leave(t.Context(), Tenant{})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			third, err := y.Leave(t.Context(), Tenant{})
			if err != nil {
				t.Error(err)
				return
			}
			defer third()
			if y.read(&y.boots) != 0 {
				t.Error("a later start was served first")
			}
			Pause(t.Context(), time.Second)
		})
		synctest.Wait()
		all.Go(func() { y.claim(t.Context(), p) })
		synctest.Wait()
		if y.read(&y.boots) != 0 {
			t.Error("a third boot began")
		}
		began := time.Now()
		first()
		synctest.Wait()
		second()
		all.Wait()
		if took := time.Since(began); took != time.Second {
			t.Errorf("both took %v", took)
		}
	})
}

func TestLostProcessesAreReplacedAndNeverClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 3, 1)
		p := y.needed(0)
		y.has(p, time.Second)
		y.killFrom(p, 1)
		if h, ready := y.claim(t.Context(), p); h.dead || !ready {
			t.Errorf("dead %v, ready %v", h.dead, ready)
		}
		if ready, _ := y.has(p, time.Minute); ready != 3 {
			t.Errorf("%d are ready", ready)
		}
		y.killFrom(p, 0)
		if h, ready := y.claim(t.Context(), p); h.dead || ready {
			t.Errorf("with only lost processes: lost %v, ready %v", h.dead, ready)
		}
		y.killFrom(p, 0)
		if ready, _ := y.has(p, time.Minute); ready != 3 {
			t.Errorf("without a claim %d are ready", ready)
		}
	})
}

func TestFailedBootsAreReportedAndRetriedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 2, 1)
		y.fails = errors.New("no process")
		if _, _, err := y.all[0].Claim(t.Context(), Tenant{}); !errors.Is(err, y.fails) {
			t.Errorf("a claim fails as %v", err)
		}
		y.has(y.all[0], 10*time.Minute)
		if tries := y.read(&y.boots); tries < 10 || tries > 100 {
			t.Errorf("boots were tried %d times in ten minutes", tries)
		}
		y.mu.Lock()
		y.fails = nil
		y.mu.Unlock()
		if ready, _ := y.has(y.all[0], 2*time.Minute); ready != 2 {
			t.Errorf("%d are ready once it works again", ready)
		}
	})
}

func TestMemoryBoundsThePoolsAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 2, 1)
		y.Pools.mu.Lock()
		y.o.Budget, y.all[0].each = 10<<20, 1<<20
		y.Pools.mu.Unlock()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { y.claim(t.Context(), y.all[0]) })
		}
		all.Wait()
		if ready, _ := y.has(y.all[0], time.Minute); ready != 10 {
			t.Errorf("%d are ready", ready)
		}
	})
}

func TestTheEndFailsWaitingClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 2, 1)
		p := y.needed(0)
		y.has(p, time.Minute)
		y.mu.Lock()
		y.takes = time.Hour
		y.mu.Unlock()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				b, _, err := p.Claim(t.Context(), Tenant{})
				if err == nil == (b == nil) || err != nil && !errors.Is(err, ErrEnded) && !errors.Is(err, context.Canceled) {
					t.Errorf("the claim got %v, %v", b, err)
				}
			})
		}
		synctest.Wait()
		p.put(&fakeProcess{pools: y}) // for the first of the claims
		y.end()
		all.Wait()
		if _, _, err := p.Claim(t.Context(), Tenant{}); !errors.Is(err, ErrEnded) {
			t.Errorf("after the end: %v", err)
		}
		if _, err := y.Leave(t.Context(), Tenant{}); !errors.Is(err, ErrEnded) {
			t.Errorf("leave after the end: %v", err)
		}
	})
}

func TestATenantWithManyClaimsDelaysOnlyItself(t *testing.T) {
	for name, forks := range map[string]bool{"booted": false, "forked": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newFakePools(t, -1, 2)
				y.mu.Lock()
				y.forks = forks
				y.mu.Unlock()
				var mu sync.Mutex
				var order []string
				var all sync.WaitGroup
				bring := func(who Tenant, n, runtime int, solo bool) {
					for range n {
						all.Go(func() {
							if solo {
								done, err := y.Leave(t.Context(), who)
								if err != nil {
									t.Error(err)
									return
								}
								defer done()
							} else if _, _, err := y.all[runtime].Claim(t.Context(), who); err != nil {
								t.Error(err)
							}
							mu.Lock()
							order = append(order, who.Name)
							mu.Unlock()
							if solo {
								time.Sleep(firstBoot)
							}
						})
					}
					synctest.Wait()
				}
				bring(Tenant{Name: "flood"}, 64, 0, false)
				time.Sleep(firstBoot / 2)
				bring(Tenant{Name: "neighbour"}, 1, 0, false)
				bring(Tenant{Name: "another"}, 1, 1, false)
				bring(Tenant{Name: "special"}, 1, 0, true)
				bring(Tenant{Name: "heavy", Weight: 3}, 6, 0, false)
				all.Wait()
				at := func(who string) (last int) {
					for i, name := range order {
						if name == who {
							last = i
						}
					}
					return last
				}
				// Two boots of the flood are in progress, and two more may have begun
				// in a tie.
				for who, most := range map[string]int{"neighbour": 8, "another": 8, "special": 8, "heavy": 16} {
					if at(who) > most {
						t.Errorf("%s is served as number %d behind a flood of 64, want %d at most: %v", who, at(who)+1, most+1, order)
					}
				}
				if len(order) != 73 {
					t.Errorf("%d of 73 were served", len(order))
				}
			})
		})
	}
}
