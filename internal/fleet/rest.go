package fleet

import (
	"errors"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// told is how long after its response an instance is idle, if nothing else was
// asked for, as engines promise. Who waits for room does not wait for longer.
const told = 10 * time.Millisecond

// unplanned is how long an instance rests at most before its plan is made.
const unplanned = time.Hour

// restLocked lets m rest: it has no requests.
func (f *Fleet) restLocked(m *member, now time.Time) {
	m.rest = autoscale.Rest{Quiet: now, At: now, Until: now.Add(unplanned), Frozen: m.frozen, Unfreezable: m.numb, Unreclaimed: m.unshrunk}
	m.foretold = false
	if f.o.KeepAlive > 0 {
		m.rest.Until, m.foretold = now.Add(f.o.KeepAlive), true
	}
	fn := m.pool.function
	m.priority = autoscale.Priority(f.dual, fn.history.Uses(now), fn.costsAt(m.rank()))
	look := min(f.o.Idle.Freeze, m.rest.Until.Sub(now))
	if len(f.line) > 0 {
		look = min(look, told)
	}
	if !m.ticking || look == told { // and otherwise it will see for itself
		f.tickAtLocked(m, now, now.Add(look))
	}
	if len(f.line) > 0 {
		f.pumpLocked(now) // it can make room
	}
}

func (f *Fleet) tickAtLocked(m *member, now, at time.Time) {
	m.ticking = true
	m.tick.Reset(max(0, at.Sub(now)))
}

// tick looks after an instance that may rest, and takes it a step further.
func (f *Fleet) tick(m *member) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	m.ticking = false
	if m.leaving || m.inFlight > 0 || f.ended {
		return
	}
	m.rest.Busy = m.instance.Busy() > 0
	if m.rest.Busy {
		m.rest.Quiet = now
	}
	if !m.foretold && !m.rest.Busy && !now.Before(m.rest.Quiet.Add(f.o.Idle.Freeze)) {
		m.rest.Until, m.foretold = f.planLocked(m, now), true
	}
	if len(f.line) > 0 {
		f.pumpLocked(now) // it can make room
		if m.leaving {
			return
		}
	}
	step, at := f.o.Idle.Next(m.rest, now)
	switch step {
	case autoscale.StepFreeze:
		m.napping = true
		f.work.Go(func() { f.freeze(m) })
	case autoscale.StepReclaim:
		m.rest.Reclaimed, m.rest.At = true, now // begun is done: nobody waits for it
		f.work.Go(func() { f.reclaim(m) })
		f.tickAtLocked(m, now, m.rest.Until)
	case autoscale.StepStop:
		f.letGoLocked(m, now)
	case autoscale.StepNone:
		f.tickAtLocked(m, now, at)
	}
}

// planLocked returns until when m is kept, and plans for its function if no
// other instance of its pool is kept longer.
func (f *Fleet) planLocked(m *member, now time.Time) time.Time {
	fn, rank := m.pool.function, m.rank()
	plan := f.o.Policy.Keep(&fn.history, now, fn.costsAt(rank))
	if rank == 0 {
		fn.plan = plan
	}
	return plan.KeepUntil
}

// rank is how many instances of m's pool are asked before m because they are older.
func (m *member) rank() (n int) {
	for _, other := range m.pool.members {
		if other == m {
			break
		}
		if !other.leaving {
			n++
		}
	}
	return n
}

// letGoLocked stops an instance that has rested for long enough, unless it is
// one of those that are always there.
func (f *Fleet) letGoLocked(m *member, now time.Time) {
	p := m.pool
	if p.active <= p.minimumLocked() {
		m.rest.Until = now.Add(time.Minute) // and then it is asked again which ones these are
		f.tickAtLocked(m, now, now)         // the other steps may be due
		return
	}
	f.retireLocked(m, spared)
	if p.active+p.starting+p.wanted == 0 && !p.forgotten {
		f.foreseeLocked(p, now)
	}
}

// freeze keeps m from running, unless somebody has asked for it meanwhile.
func (f *Fleet) freeze(m *member) {
	m.nap <- struct{}{}
	defer func() { <-m.nap }()
	f.mu.Lock()
	wanted := m.napping && !m.frozen && m.inFlight == 0 && !m.leaving
	f.mu.Unlock()
	if !wanted {
		return
	}
	m.looked.Store(time.Now().UnixNano())
	usage := m.instance.Usage() // what was used since the last request is nobody's
	err := m.instance.Freeze()
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enterLocked(m, now, usage)
	m.pool.function.restsWith(usage.Memory)
	m.rest.At = now
	if err == nil {
		m.frozen, m.rest.Frozen = true, true
	} else {
		m.napping, m.numb, m.rest.Unfreezable = false, true, true
		if !errors.Is(err, errors.ErrUnsupported) && !isDone(m.instance) {
			f.o.Log.Warn("freeze failed, leaving it awake", "function", m.pool.spec.Name, "instance_id", m.instance.ID(), "err", err)
		}
	}
	if !m.leaving && !m.ticking {
		_, at := f.o.Idle.Next(m.rest, now)
		f.tickAtLocked(m, now, at)
	}
}

// reclaim pushes the memory of a frozen instance out. It may take a while, and
// a request that comes does not wait for it.
func (f *Fleet) reclaim(m *member) {
	err := m.instance.Reclaim()
	usage := m.instance.Usage()
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		m.unshrunk, m.rest.Unreclaimed, m.rest.Reclaimed = true, true, false
		if !errors.Is(err, errors.ErrUnsupported) && !isDone(m.instance) {
			f.o.Log.Warn("reclaim failed, leaving the memory", "function", m.pool.spec.Name, "instance_id", m.instance.ID(), "err", err)
		}
		return
	}
	if m.frozen && m.inFlight == 0 {
		f.enterLocked(m, now, usage)
		m.pool.function.restsWith(usage.Memory)
	}
}

// restsWith learns how many bytes an instance holds that rests.
func (fn *function) restsWith(bytes int64) {
	if bytes > 0 {
		fn.resting = approach(fn.resting, bytes)
	}
}

// wake lets m run, if it is frozen, and returns once it does.
func (f *Fleet) wake(m *member) error {
	m.nap <- struct{}{}
	defer func() { <-m.nap }()
	f.mu.Lock()
	frozen := m.frozen
	if !frozen {
		m.napping = false
	}
	f.mu.Unlock()
	if !frozen {
		return nil
	}
	err := m.instance.Thaw()
	f.mu.Lock()
	defer f.mu.Unlock()
	m.frozen, m.napping = false, false
	return err
}

// phase is what m is doing, for people.
func (m *member) phase() lateen.Phase {
	switch {
	case m.leaving:
		return lateen.PhaseLeaving
	case m.frozen && m.rest.Reclaimed:
		return lateen.PhaseReclaimed
	case m.frozen:
		return lateen.PhaseFrozen
	}
	return lateen.PhaseRunning
}
