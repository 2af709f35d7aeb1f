package fleet

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/pause"
)

// slotTime is the time for which a start counts against Options.Starts. A slower
// start is not using CPU time that others need.
const slotTime = time.Second

// retryAfter is the pause between the two attempts of a start: the cause that ended
// one process may be about to end others.
const retryAfter = 20 * time.Millisecond

// startQueuedLocked begins the queued starts for which there is capacity: first
// those of the project with the fewest instances by its weight.
func (f *Fleet) startQueuedLocked(now time.Time) {
	if f.startingQueued || f.ended {
		return
	}
	f.startingQueued = true
	defer func() { f.startingQueued = false }()
	for reserve := 0; f.attempts < f.o.Starts; {
		rev := f.nextStartLocked(now, reserve)
		if rev == nil {
			return
		}
		if !f.ensureCapacityLocked(rev, now) {
			f.yieldLocked(rev, now)
			reserve = reserveOf(rev.function.project) + 1 // projects with a larger reserve do not wait for rev
			continue
		}
		rev.wanted--
		f.beginLocked(rev, time.Time{})
	}
}

// nextStartLocked returns the revision that starts an instance next, among those
// whose reserve is at least reserve. It removes from the queue the revisions that
// need no start any more.
func (f *Fleet) nextStartLocked(now time.Time, reserve int) *revision {
	var next *revision
	f.startQueue = slices.DeleteFunc(f.startQueue, func(rev *revision) bool {
		if rev.wanted > 0 {
			rev.wanted = min(rev.wanted, rev.demandLocked(now).Missing())
		}
		if rev.wanted <= 0 {
			rev.wanted = 0
			return true
		}
		if reserve > 0 && reserveOf(rev.function.project) < reserve {
			return false
		}
		if next == nil || rev.function.project.holding(0).Less(next.function.project.holding(0)) {
			next = rev
		}
		return false
	})
	return next
}

// beginLocked begins a start for rev: for its waiting requests, or, if until is not
// zero, as a prewarm for a request that is expected until then.
func (f *Fleet) beginLocked(rev *revision, until time.Time) {
	rev.starting++
	rev.function.project.count(1)
	f.total++
	f.attempts++
	held := rev.estimate()
	f.memory += held
	f.work.Go(func() { f.start(rev, held, until) })
}

// start starts an instance for rev, with a second attempt if the first fails, and
// gives its places to waiting requests. If both attempts fail, the requests get the
// error unless other instances may still serve them.
func (f *Fleet) start(rev *revision, held int64, until time.Time) {
	ctx, cancel := context.WithCancelCause(rev.ctx)
	defer cancel(nil)
	f.work.Go(func() {
		select {
		case <-f.closed:
			cancel(errEnding)
		case <-ctx.Done():
		}
	})
	free := f.occupy()
	began := time.Now()
	process, err := f.attempt(ctx, rev.spec)
	if err != nil && ctx.Err() == nil && !errors.Is(err, lateen.ErrFunctionRuntime) {
		f.o.Log.Warn("start failed, trying a second time", "function", rev.spec.Name, "deployment_id", rev.spec.Deployment, "err", err)
		pause.For(ctx, retryAfter)
		began = time.Now()
		process, err = f.attempt(ctx, rev.spec)
	}
	var loaded engine.Usage // usage of the start, which counts for no request
	if err == nil {
		loaded = process.Usage()
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	free()
	rev.starting--
	if err != nil {
		f.total--
		f.memory -= held
		rev.function.project.count(-1)
		f.failedLocked(rev, err, now)
		f.dropLocked(rev)
		f.startQueuedLocked(now)
		return
	}
	inst := &instance{revision: rev, process: process, since: now, held: held, drained: make(chan struct{}), freezeLock: make(chan struct{}, 1)}
	inst.meter.at, inst.meter.usage = now, loaded
	inst.interval.begin(began, now, loaded)
	f.recordUsageLocked(inst, now, loaded)
	f.joinLocked(inst, now, until)
}

// joinLocked adds inst to its revision and gives its places to waiting requests.
func (f *Fleet) joinLocked(inst *instance, now, until time.Time) {
	rev := inst.revision
	phases := inst.process.Started()
	rev.function.start = approach(rev.function.start, phases.Claim+phases.Load)
	inst.tick = time.AfterFunc(time.Hour, func() { f.tick(inst) })
	inst.tick.Stop()
	rev.instances = append(rev.instances, inst)
	rev.active++
	rev.failures, rev.retry = 0, time.Time{}
	f.work.Go(func() { f.watch(inst) })
	if f.ended {
		f.retireLocked(inst, forced)
		return
	}
	limit := rev.function.limit.At(rev.ceiling)
	for inst.inFlight < limit && (inst.inFlight == 0 || f.admitLocked(rev, now)) {
		next, free := rev.nextLocked(now)
		if free == nil {
			break
		}
		f.grantLocked(next, inst, now, startFresh)
	}
	f.serveNextLocked(rev, now)
	switch {
	case rev.forgotten:
		f.retireLocked(inst, forced)
	case inst.inFlight == 0:
		inst.unused = !until.IsZero()
		f.becomeIdleLocked(inst, now)
		if inst.unused {
			inst.idle.Until, inst.planned = until, true
		}
	}
	f.startQueuedLocked(now)
	f.growLocked(rev, now)
}

// occupy returns a function that frees a start's slot of Options.Starts, to be
// called with the mutex held. The slot becomes free after slotTime in any case.
func (f *Fleet) occupy() func() {
	taken := true
	free := func() {
		if taken {
			taken = false
			f.attempts--
		}
	}
	overdue := time.AfterFunc(slotTime, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		free()
		f.startQueuedLocked(time.Now())
	})
	return func() {
		overdue.Stop()
		free()
	}
}

// attempt starts one instance, within Options.StartTimeout.
func (f *Fleet) attempt(ctx context.Context, spec lateen.FunctionSpec) (engine.Instance, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.o.StartTimeout,
		lateen.ErrFunctionStart.With("%s did not start within %s", spec.Name, f.o.StartTimeout))
	defer cancel()
	process, err := f.o.Engine.Start(ctx, spec)
	if err == nil {
		return process, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if _, ok := errors.AsType[*lateen.Error](err); !ok {
		err = lateen.ErrFunctionStart.Because(err)
	}
	return nil, err
}
