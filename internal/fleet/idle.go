package fleet

import (
	"errors"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// idleReportDelay is the maximum time between the end of a response and the engine's
// report that the instance is idle, if there are no other requests. It is the
// longest time that requests waiting for capacity wait for such a report.
const idleReportDelay = 10 * time.Millisecond

// unplanned is the time after which an idle instance stops if no plan is made
// before.
const unplanned = time.Hour

// becomeIdleLocked begins the idle time of inst, which has no requests.
func (f *Fleet) becomeIdleLocked(inst *instance, now time.Time) {
	inst.idle = autoscale.Rest{Quiet: now, At: now, Until: now.Add(unplanned), Frozen: inst.frozen, Unfreezable: inst.unfreezable, Unreclaimed: inst.unreclaimable}
	inst.planned = false
	if f.o.KeepAlive > 0 {
		inst.idle.Until, inst.planned = now.Add(f.o.KeepAlive), true
	}
	fn := inst.revision.function
	inst.priority = autoscale.Priority(f.evictionClock, fn.history.Uses(now), fn.costsAt(inst.rank()))
	look := min(f.o.Idle.Freeze, inst.idle.Until.Sub(now))
	if len(f.startQueue) > 0 {
		look = min(look, idleReportDelay)
	}
	if !inst.ticking || look == idleReportDelay { // otherwise the running timer comes early enough
		f.tickAtLocked(inst, now, now.Add(look))
	}
	if len(f.startQueue) > 0 {
		f.startQueuedLocked(now) // inst may now be evicted
	}
}

func (f *Fleet) tickAtLocked(inst *instance, now, at time.Time) {
	inst.ticking = true
	inst.tick.Reset(max(0, at.Sub(now)))
}

// tick takes the next step of an idle instance: freeze, reclaim, stop or another
// tick.
func (f *Fleet) tick(inst *instance) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	inst.ticking = false
	if inst.leaving || inst.inFlight > 0 || f.ended {
		return
	}
	inst.idle.Busy = inst.process.Busy() > 0
	if inst.idle.Busy {
		inst.idle.Quiet = now
	}
	if !inst.planned && !inst.idle.Busy && !now.Before(inst.idle.Quiet.Add(f.o.Idle.Freeze)) {
		inst.idle.Until, inst.planned = f.planLocked(inst, now), true
	}
	if len(f.startQueue) > 0 {
		f.startQueuedLocked(now) // inst may now be evicted
		if inst.leaving {
			return
		}
	}
	step, at := f.o.Idle.Next(inst.idle, now)
	switch step {
	case autoscale.StepFreeze:
		inst.freezing = true
		f.work.Go(func() { f.freeze(inst) })
	case autoscale.StepReclaim:
		inst.idle.Reclaimed, inst.idle.At = true, now // set at the beginning already, since no request waits for the end
		f.work.Go(func() { f.reclaim(inst) })
		f.tickAtLocked(inst, now, inst.idle.Until)
	case autoscale.StepStop:
		f.stopIdleLocked(inst, now)
	case autoscale.StepNone:
		f.tickAtLocked(inst, now, at)
	}
}

// planLocked returns the time until which inst is kept. If inst is the first of its
// revision's instances to get requests, it also updates the plan of the function.
func (f *Fleet) planLocked(inst *instance, now time.Time) time.Time {
	fn, rank := inst.revision.function, inst.rank()
	plan := f.o.Policy.Keep(&fn.history, now, fn.costsAt(rank))
	if rank == 0 {
		fn.plan = plan
	}
	return plan.KeepUntil
}

// rank returns the number of older instances of the revision; they get requests
// before inst.
func (inst *instance) rank() (n int) {
	for _, other := range inst.revision.instances {
		if other == inst {
			break
		}
		if !other.leaving {
			n++
		}
	}
	return n
}

// stopIdleLocked stops an instance whose idle time is over, unless it is one of the
// minimum instances.
func (f *Fleet) stopIdleLocked(inst *instance, now time.Time) {
	rev := inst.revision
	if rev.active <= rev.minimumLocked() {
		inst.idle.Until = now.Add(time.Minute) // then the check for minimum instances is repeated
		f.tickAtLocked(inst, now, now)         // a freeze or a reclaim may be due
		return
	}
	f.retireLocked(inst, graceful)
	if rev.active+rev.starting+rev.wanted == 0 && !rev.forgotten {
		f.scheduleStartLocked(rev, now)
	}
}

// freeze freezes inst, unless a request has taken it meanwhile.
func (f *Fleet) freeze(inst *instance) {
	inst.freezeLock <- struct{}{}
	defer func() { <-inst.freezeLock }()
	f.mu.Lock()
	wanted := inst.freezing && !inst.frozen && inst.inFlight == 0 && !inst.leaving
	f.mu.Unlock()
	if !wanted {
		return
	}
	inst.sampledAt.Store(time.Now().UnixNano())
	usage := inst.process.Usage() // usage between the last request and the freeze counts for no request
	err := inst.process.Freeze()
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recordUsageLocked(inst, now, usage)
	inst.revision.function.learnIdleMemory(usage.Memory)
	inst.idle.At = now
	if err == nil {
		inst.frozen, inst.idle.Frozen = true, true
		inst.meter.rest(now, true)
	} else {
		inst.freezing, inst.unfreezable, inst.idle.Unfreezable = false, true, true
		if !errors.Is(err, errors.ErrUnsupported) && !isDone(inst.process) {
			f.o.Log.Warn("freeze failed, the instance keeps running", "function", inst.revision.spec.Name, "instance_id", inst.process.ID(), "err", err)
		}
	}
	if !inst.leaving && !inst.ticking {
		_, at := f.o.Idle.Next(inst.idle, now)
		f.tickAtLocked(inst, now, at)
	}
}

// reclaim moves the memory of a frozen instance to swap. It may take long; a request
// does not wait for it.
func (f *Fleet) reclaim(inst *instance) {
	err := inst.process.Reclaim()
	usage := inst.process.Usage()
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		inst.unreclaimable, inst.idle.Unreclaimed, inst.idle.Reclaimed = true, true, false
		if !errors.Is(err, errors.ErrUnsupported) && !isDone(inst.process) {
			f.o.Log.Warn("reclaim failed, the instance keeps its memory", "function", inst.revision.spec.Name, "instance_id", inst.process.ID(), "err", err)
		}
		return
	}
	if inst.frozen && inst.inFlight == 0 {
		f.recordUsageLocked(inst, now, usage)
		inst.revision.function.learnIdleMemory(usage.Memory)
	}
}

// learnIdleMemory records the memory of an idle instance.
func (fn *function) learnIdleMemory(bytes int64) {
	if bytes > 0 {
		fn.idleMemory = approach(fn.idleMemory, bytes)
	}
}

// thaw thaws inst if it is frozen, after the end of a freeze or thaw in progress.
func (f *Fleet) thaw(inst *instance) error {
	inst.freezeLock <- struct{}{}
	defer func() { <-inst.freezeLock }()
	f.mu.Lock()
	frozen := inst.frozen
	if !frozen {
		inst.freezing = false
	}
	f.mu.Unlock()
	if !frozen {
		return nil
	}
	err := inst.process.Thaw()
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	inst.meter.rest(now, false)
	inst.frozen, inst.freezing = false, false
	return err
}

// phase returns the state of inst for the API.
func (inst *instance) phase() lateen.Phase {
	switch {
	case inst.leaving:
		return lateen.PhaseLeaving
	case inst.frozen && inst.idle.Reclaimed:
		return lateen.PhaseReclaimed
	case inst.frozen:
		return lateen.PhaseFrozen
	}
	return lateen.PhaseRunning
}
