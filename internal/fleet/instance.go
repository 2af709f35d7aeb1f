package fleet

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/engine"
)

// instance is a process of a revision, with its requests. The fleet's mutex guards
// the fields that do not say otherwise.
type instance struct {
	revision  *revision
	process   engine.Instance
	since     time.Time
	inFlight  int
	requests  int64 // requests that have ended
	meter     meter
	interval  interval
	sampledAt atomic.Int64 // Unix nanoseconds of the last reading of its usage; atomic, so without the mutex
	held      int64        // bytes that it counts for in Fleet.memory
	unused    bool         // it was prewarmed and has had no request yet

	leaving     bool          // it gets no more requests and will stop
	beneficiary *project      // project that gets its capacity; nil is no particular project
	drained     chan struct{} // closed once it is leaving and has no leases left

	idle     autoscale.Rest
	planned  bool        // idle.Until comes from a plan or from Options.KeepAlive
	tick     *time.Timer // next check while it is idle
	ticking  bool
	priority float64

	freezeLock    chan struct{} // semaphore of one, held during a freeze or thaw; taken before the fleet's mutex
	freezing      bool          // it is frozen or about to be, so a request has to thaw it
	frozen        bool          // it is frozen; written with freezeLock and the mutex held
	unfreezable   bool          // the engine cannot freeze it
	unreclaimable bool          // the engine cannot reclaim its memory
}

// reason tells why an instance stops.
type reason int

const (
	forced   reason = iota // its requests have Options.Grace to finish
	graceful               // its requests may finish
)

// sampleEvery is the minimum time between two readings of an instance's usage at the
// ends of requests.
const sampleEvery = time.Millisecond

// readUsage returns the usage of inst; false if the last reading is too recent.
func (inst *instance) readUsage(now time.Time) (engine.Usage, bool) {
	last := inst.sampledAt.Load()
	since := time.Duration(now.UnixNano() - last) // far below 0 if the clock was set back
	if since.Abs() < sampleEvery || !inst.sampledAt.CompareAndSwap(last, now.UnixNano()) {
		return engine.Usage{}, false
	}
	return inst.process.Usage(), true
}

// recordUsageLocked records a reading of the usage of inst in the statistics of the
// fleet and of the function.
func (f *Fleet) recordUsageLocked(inst *instance, now time.Time, u engine.Usage) {
	f.usage.add(now, u.CPU-inst.meter.usage.CPU, f.o.Processors, f.load)
	f.takeUsageLocked(inst, now, u)
	if u.Memory > 0 && !inst.leaving {
		inst.revision.function.activeMemory = approach(inst.revision.function.activeMemory, u.Memory)
	}
}

// takeUsageLocked records a reading of the usage of inst, but neither in the current
// use of CPUs, since the reading may cover a long time, nor in the memory after a
// request.
func (f *Fleet) takeUsageLocked(inst *instance, now time.Time, u engine.Usage) {
	inst.revision.function.learnDelay(u.Ticks-inst.meter.usage.Ticks, u.Late-inst.meter.usage.Late)
	inst.meter.take(now, u)
	inst.interval.extend(&inst.meter)
	if u.Memory > 0 && !inst.leaving {
		f.memory += u.Memory - inst.held
		inst.held = u.Memory
	}
}

// estimate returns the bytes that a new instance of rev is expected to hold.
func (rev *revision) estimate() int64 {
	const unknown = 64 << 20
	if held := rev.function.activeMemory; held > 0 {
		return held
	}
	return unknown
}

// retireLocked stops inst: it gets no more requests, and ends once those in flight
// are done or their time is over. Waiting requests get another instance.
func (f *Fleet) retireLocked(inst *instance, why reason) {
	if inst.leaving {
		return
	}
	inst.leaving = true
	inst.tick.Stop()
	rev := inst.revision
	rev.active--
	rev.function.project.count(-1)
	f.work.Go(func() { f.stop(inst, why != forced) })
	f.drainLocked(inst)
	f.growLocked(rev, time.Now())
}

// drainLocked marks a leaving instance without leases as drained, so that it stops.
// It does not count against the bounds any more, since its memory is about to be
// free.
func (f *Fleet) drainLocked(inst *instance) {
	if inst.inFlight > 0 {
		return
	}
	close(inst.drained)
	f.total--
	f.memory -= inst.held
	if inst.beneficiary != nil {
		inst.beneficiary.yielding--
	}
	f.startQueuedLocked(time.Now())
}

// stop ends the process of inst and removes inst from its revision. It waits for the
// leases first: a granted lease may not have reached the instance yet.
func (f *Fleet) stop(inst *instance, patient bool) {
	if patient {
		select {
		case <-inst.drained:
		case <-inst.process.Done():
		case <-f.closed:
		}
	}
	until := time.Now().Add(f.o.Grace)
	if sooner := f.hastened.Load(); sooner != nil && sooner.Before(until) {
		until = *sooner
	}
	ctx, cancel := context.WithDeadline(inst.revision.ctx, until)
	defer cancel()
	select {
	case <-inst.drained:
	case <-inst.process.Done():
	case <-ctx.Done():
	}
	if err := f.thaw(inst); err != nil && !isDone(inst.process) { // Stop then kills it
		f.o.Log.Warn("thaw failed before the stop", "function", inst.revision.spec.Name, "instance_id", inst.process.ID(), "err", err)
	}
	inst.process.Stop(ctx)
	f.sampleInstance(inst, true)
	f.mu.Lock()
	defer f.mu.Unlock()
	rev := inst.revision
	rev.instances = slices.DeleteFunc(rev.instances, func(other *instance) bool { return other == inst })
	f.growLocked(rev, time.Now())
	f.dropLocked(rev)
}

// watch retires inst when its process ends unexpectedly.
func (f *Fleet) watch(inst *instance) {
	<-inst.process.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retireLocked(inst, forced)
}

func isDone(process engine.Instance) bool {
	select {
	case <-process.Done():
		return true
	default:
		return false
	}
}
