package fleet

import (
	"errors"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// tick takes the next step of an idle instance: freeze, reclaim, stop or another
// tick.
func (f *Fleet) tick(inst *instance) {
	now := time.Now()
	f.mu.Lock()
	defer f.unlock()
	inst.due = time.Time{}
	if inst.leaving || inst.inFlight > 0 || f.ended {
		return
	}
	inst.idle.Busy = inst.process.Busy() > 0
	if inst.idle.Busy {
		inst.idle.BusyUntil = now
	}
	if !inst.planned && !inst.idle.Busy && !now.Before(inst.idle.BusyUntil.Add(f.o.Idle.Freeze)) {
		inst.idle.Until, inst.planned = f.planFor(inst, now), true
	}
	if !f.starts.isEmpty() {
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
		inst.tickAt(now, inst.idle.Until)
	case autoscale.StepStop:
		f.stopIdleLocked(inst, now)
	case autoscale.StepNone:
		inst.tickAt(now, at)
	}
}

// stopIdleLocked stops an instance whose idle time is over, unless it is one of the
// minimum instances.
func (f *Fleet) stopIdleLocked(inst *instance, now time.Time) {
	rev := inst.revision
	if rev.active <= rev.minInstances() {
		inst.idle.Until = now.Add(time.Minute) // then the check for minimum instances is repeated
		inst.tickAt(now, now)                  // a freeze or a reclaim may be due
		return
	}
	f.retire(inst, graceful)
	f.settleLocked() // may queue a start for requests that wait
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
	f.recordUsage(inst, now, usage)
	inst.revision.function.learned.Rests(usage.Memory)
	inst.idle.At = now
	if err == nil {
		inst.frozen, inst.idle.Frozen = true, true
		inst.meter.Rest(now, true)
	} else {
		inst.freezing, inst.unfreezable, inst.idle.Unfreezable = false, true, true
		if !errors.Is(err, errors.ErrUnsupported) && !inst.isDone() {
			f.o.Log.Warn("freeze failed, the instance keeps running", "function", inst.revision.spec.Name, "instance_id", inst.process.ID(), "err", err)
		}
	}
	if !inst.leaving && inst.due.IsZero() {
		_, at := f.o.Idle.Next(inst.idle, now)
		inst.tickAt(now, at)
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
		if !errors.Is(err, errors.ErrUnsupported) && !inst.isDone() {
			f.o.Log.Warn("reclaim failed, the instance keeps its memory", "function", inst.revision.spec.Name, "instance_id", inst.process.ID(), "err", err)
		}
		return
	}
	if inst.frozen && inst.inFlight == 0 {
		f.recordUsage(inst, now, usage)
		inst.revision.function.learned.Rests(usage.Memory)
	}
}
