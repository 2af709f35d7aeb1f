package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
)

// pool is the blank processes of one runtime. Its keeper guards it.
type pool struct {
	runner *runner
	keeper *keeper
	shells shells // ahead, for a zygote's children

	always  bool      // also where nobody has claimed one yet
	found   bool      // the runtime is here
	ready   []blank   // the latest last
	boots   []*boot   // under way, the furthest along first
	waiters []*waiter // first come first
	demand  demand
	size    int       // how many should be ready
	short   time.Time // since when they are fewer; zero if they are not

	took     time.Duration // by a boot, on average
	each     int64         // bytes that one holds, on average
	failures int           // of refills, in a row
	retry    time.Time     // after the last
	claimed  [2]uint64     // claims that found none ready, and that did
}

// need has the pool keep its least from now on, whether or not anybody claims.
func (p *pool) need() {
	p.keeper.mu.Lock()
	defer p.keeper.mu.Unlock()
	p.always = true
	p.keeper.look()
}

// find makes sure that the runtime is here, which may take a download.
func (p *pool) find(ctx context.Context) error {
	if _, err := p.runner.find(ctx); err != nil {
		return err
	}
	p.keeper.mu.Lock()
	defer p.keeper.mu.Unlock()
	if !p.found {
		p.found = true
		p.keeper.look()
	}
	return nil
}

// claim returns a blank process, and whether it was ready. Where none is, the
// boot that is furthest along is waited for.
func (p *pool) claim(ctx context.Context) (b blank, ready bool, err error) {
	p.arrive()
	for b = p.take(); b != nil; b = p.take() {
		if b.claim() {
			p.count(true)
			return b, true, nil
		}
	}
	p.count(false)
	if err := p.find(ctx); err != nil { // nobody waits in line for a download
		return nil, false, err
	}
	for {
		d, err := p.keeper.wait(ctx, &p.waiters)
		switch {
		case err != nil && d.blank != nil:
			p.put(d.blank)
			return nil, false, err
		case err != nil:
			return nil, false, err
		case d.blank.claim():
			return d.blank, false, nil
		}
	}
}

// arrive takes note of a claim.
func (p *pool) arrive() {
	k := p.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = time.Now()
	p.demand.claim(k.last, p.took/time.Duration(k.o.processors))
	k.look()
}

// take takes the process out that is ready since the shortest time; nil if none is.
func (p *pool) take() blank {
	p.keeper.mu.Lock()
	defer p.keeper.mu.Unlock()
	n := len(p.ready)
	if n == 0 {
		return nil
	}
	b := p.ready[n-1]
	p.ready[n-1] = nil
	p.ready = p.ready[:n-1]
	return b
}

// put puts a process in, or gives it to whoever waits for one.
func (p *pool) put(b blank) {
	p.keeper.mu.Lock()
	defer p.keeper.mu.Unlock()
	p.putLocked(b)
}

func (p *pool) putLocked(b blank) {
	switch {
	case len(p.waiters) > 0:
		p.nextLocked(delivery{blank: b})
	case p.keeper.ended:
		b.kill()
	default:
		p.ready = append(p.ready, b)
	}
}

// nextLocked gives the first of those who wait what there is.
func (p *pool) nextLocked(d delivery) {
	p.waiters[0].got <- d
	p.waiters = slices.Delete(p.waiters, 0, 1)
}

func (p *pool) count(ready bool) {
	p.keeper.mu.Lock()
	defer p.keeper.mu.Unlock()
	if ready {
		p.claimed[1]++
	} else {
		p.claimed[0]++
	}
}

// learn takes note of what a boot took and what the process holds, if known.
func (p *pool) learn(took time.Duration, holds int64) {
	p.failures = 0
	p.took = (3*p.took + took) / 4
	if holds > 0 {
		p.each = (3*p.each + holds) / 4
	}
}

func (p *pool) wishLocked(now time.Time) wish {
	floor := max(p.keeper.o.floor, 0)
	w := wish{floor: floor, size: p.demand.size(now, floor), each: p.each}
	if p.always {
		w.size = max(w.size, floor)
	}
	return w
}

// shortLocked reports whether the pool is short of what could be booted now,
// but for a wait after a failure.
func (p *pool) shortLocked(now time.Time) (wait time.Duration, short bool) {
	switch {
	case len(p.ready) >= p.size || !p.found:
		p.short = time.Time{}
		return 0, false
	case p.short.IsZero():
		p.short = now
	}
	return p.retry.Sub(now), len(p.ready)+len(p.boots) < p.size
}

// PoolStats is the state of the blank processes of all runtimes together.
type PoolStats struct {
	Ready   int // wait for a function
	Booting int // will be
	Target  int // should be ready
	Zygotes int // that others can be forked from
	// Blank and Cold count claims, ever: those that found one ready, and those
	// that had to wait for a boot or a fork.
	Blank, Cold uint64
}

// Pools returns the state of the blank processes.
func (e *Engine) Pools() PoolStats {
	k := e.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	var s PoolStats
	for _, p := range k.pools {
		if k.o.forks(p.runner) {
			s.Zygotes++
		}
		s.Ready += len(p.ready)
		s.Booting += len(p.boots)
		s.Target += p.size
		s.Cold += p.claimed[0]
		s.Blank += p.claimed[1]
	}
	return s
}

// bootBlank boots a process for a pool; see keeperOptions.boot.
func (e *Engine) bootBlank(ctx context.Context, r *runner, background bool, spawned func(blank)) (blank, error) {
	if !background || e.rush.under.Load() > 0 { // or nobody is in the way of a boot
		if w := e.bear(ctx, e.pools[r.name]); w != nil {
			return w, nil
		}
	}
	w, err := e.boot(ctx, bootOptions{runner: r, background: background, spawned: func(w *worker) { spawned(w) }})
	if err != nil {
		return nil, err
	}
	if !w.claim() { // it is ready: at a claim there is no time for that
		return nil, errors.New("it ended as soon as it was booted")
	}
	e.zygotes.tag(r, w.tag)
	return w, nil
}

// fetch gets every runtime that most need, so that no request waits for a
// download.
func (e *Engine) fetch(ctx context.Context) {
	for _, p := range e.keeper.pools {
		for failures := 0; p.runner.eager && ctx.Err() == nil; {
			err := p.find(ctx)
			if err == nil {
				break
			}
			failures++
			if ctx.Err() == nil {
				e.o.Log.WarnContext(ctx, "a runtime is not there yet", "runtime", p.runner.name, "err", err)
			}
			pause(ctx, backoff(failures))
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// claim returns a booted process: a blank one, or where the environment has
// what a process reads only when it boots, one of its own.
func (e *Engine) claim(ctx context.Context, p *pool, env map[string]string) (*worker, lateen.StartKind, error) {
	if special := p.runner.bootEnv(env); len(special) > 0 {
		w, err := e.bootAlone(ctx, p, bootOptions{runner: p.runner, env: special})
		return w, lateen.StartCold, err
	}
	b, ready, err := p.claim(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("boot a process: %w", err)
	}
	w, ok := b.(*worker)
	if !ok {
		return nil, "", errors.New("boot a process: it is none of this engine's")
	}
	kind := lateen.StartCold
	if ready || w.usual != "" {
		kind = lateen.StartBlank
	}
	return w, kind, nil
}

// bootAlone boots a process for somebody who waits for it, in turn.
func (e *Engine) bootAlone(ctx context.Context, p *pool, o bootOptions) (*worker, error) {
	if err := p.find(ctx); err != nil {
		return nil, fmt.Errorf("boot a process: %w", err)
	}
	done, err := e.keeper.leave(ctx)
	if err != nil {
		return nil, fmt.Errorf("boot a process: %w", err)
	}
	defer done()
	w, err := e.boot(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("boot a process: %w", err)
	}
	return w, nil
}

// bootEnv returns what of an environment counts only when a process boots.
func (r *runner) bootEnv(env map[string]string) []string {
	var special []string
	for _, name := range r.reads {
		if value, ok := env[name]; ok {
			special = append(special, name+"="+value)
		}
	}
	return special
}

// lost reports whether the process is gone: its end is waited for elsewhere,
// but the kernel closes its side of a connection first.
func (w *worker) lost() bool {
	if isClosed(w.exited) {
		return true
	}
	conn, ok := w.ends.control.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		ended = n == 0 && err == nil || errors.Is(err, unix.ECONNRESET)
	})
	return ended || err != nil
}

// memory is how many bytes the process holds; 0 if nobody knows.
func (w *worker) memory() int64 {
	u, err := w.process.Usage()
	if err != nil {
		return 0 // it has just ended
	}
	return u.Memory
}
