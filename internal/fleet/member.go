package fleet

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/engine"
)

// member is an instance in its pool. Its fields are guarded by the fleet's
// mutex but for those that say otherwise.
type member struct {
	pool     *pool
	instance engine.Instance
	since    time.Time
	inFlight int
	requests int64 // that have ended
	meter    meter
	looked   atomic.Int64 // Unix nanoseconds of the last look at what it uses; not guarded
	held     int64        // bytes that it is counted with
	unasked  bool         // started ahead, and nobody has come yet

	leaving bool          // takes no more requests
	heir    *project      // for which it goes; nil is nobody in particular
	drained chan struct{} // closed once it is leaving and has no leases left

	rest     autoscale.Rest
	foretold bool        // rest.Until is what was planned
	tick     *time.Timer // to look after it while it rests
	ticking  bool
	priority float64

	nap      chan struct{} // of one; full while it is being frozen or thawed, and then before the fleet's mutex
	napping  bool          // it is frozen or about to be: a request has to wake it
	frozen   bool          // written with nap and the mutex
	numb     bool          // the engine does not freeze it
	unshrunk bool          // nor reclaims its memory
}

// reason is why an instance leaves.
type reason int

const (
	forced reason = iota // its requests have the grace to end
	spared               // its requests end by themselves
)

// lookEvery is how often what an instance uses is looked at, at most, while
// requests end.
const lookEvery = time.Millisecond

// readUsage returns what m uses, unless that was looked at a moment ago.
func (m *member) readUsage(now time.Time) (engine.Usage, bool) {
	last := m.looked.Load()
	since := time.Duration(now.UnixNano() - last) // far below 0 where the clock was set back
	if since.Abs() < lookEvery || !m.looked.CompareAndSwap(last, now.UnixNano()) {
		return engine.Usage{}, false
	}
	return m.instance.Usage(), true
}

// enterLocked enters what m uses into the books.
func (f *Fleet) enterLocked(m *member, now time.Time, u engine.Usage) {
	f.usage.add(now, u.CPU-m.meter.usage.CPU, f.o.Processors, f.load)
	m.pool.function.learnDelay(u.Ticks-m.meter.usage.Ticks, u.Late-m.meter.usage.Late)
	m.meter.take(now, u)
	if u.Memory <= 0 || m.leaving {
		return
	}
	f.memory += u.Memory - m.held
	m.held = u.Memory
	m.pool.function.holding = approach(m.pool.function.holding, u.Memory)
}

// estimate is what an instance of p will hold, as far as is known.
func (p *pool) estimate() int64 {
	const unknown = 64 << 20
	if held := p.function.holding; held > 0 {
		return held
	}
	return unknown
}

// retireLocked lets m take no more requests and stops it once those in flight
// are done, or have had the time there is. The requests that wait get another.
func (f *Fleet) retireLocked(m *member, why reason) {
	if m.leaving {
		return
	}
	m.leaving = true
	m.tick.Stop()
	p := m.pool
	p.active--
	p.function.project.count(-1)
	f.work.Go(func() { f.stop(m, why != forced) })
	f.drainLocked(m)
	f.growLocked(p, time.Now())
}

// drainLocked lets a leaving instance be stopped that has no leases left. It
// does not count any more: what it holds is about to be free.
func (f *Fleet) drainLocked(m *member) {
	if m.inFlight > 0 {
		return
	}
	close(m.drained)
	f.total--
	f.memory -= m.held
	if m.heir != nil {
		m.heir.owed--
	}
	f.pumpLocked(time.Now())
}

// stop ends m's instance and takes m out of its pool. Leases end first: one
// that was granted may not have reached the instance yet.
func (f *Fleet) stop(m *member, patient bool) {
	if patient {
		select {
		case <-m.drained:
		case <-m.instance.Done():
		case <-f.closed:
		}
	}
	until := time.Now().Add(f.o.Grace)
	if sooner := f.hastened.Load(); sooner != nil && sooner.Before(until) {
		until = *sooner
	}
	ctx, cancel := context.WithDeadline(m.pool.ctx, until)
	defer cancel()
	select {
	case <-m.drained:
	case <-m.instance.Done():
	case <-ctx.Done():
	}
	if err := f.wake(m); err != nil && !isDone(m.instance) { // it is killed then
		f.o.Log.Warn("thaw failed before the stop", "function", m.pool.spec.Name, "instance_id", m.instance.ID(), "err", err)
	}
	m.instance.Stop(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	p := m.pool
	p.members = slices.DeleteFunc(p.members, func(other *member) bool { return other == m })
	f.growLocked(p, time.Now())
	f.dropLocked(p)
}

// watch retires m when its process ends by itself.
func (f *Fleet) watch(m *member) {
	<-m.instance.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retireLocked(m, forced)
}

func isDone(instance engine.Instance) bool {
	select {
	case <-instance.Done():
		return true
	default:
		return false
	}
}
