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
	process, err := f.o.attempt(ctx, rev.spec)
	if err != nil && ctx.Err() == nil && !errors.Is(err, lateen.ErrFunctionRuntime) {
		f.o.Log.Warn("start failed, trying a second time", "function", rev.spec.Name, "deployment_id", rev.spec.Deployment, "err", err)
		pause.For(ctx, retryAfter)
		began = time.Now()
		process, err = f.o.attempt(ctx, rev.spec)
	}
	var loaded engine.Usage // usage of the start, which counts for no request
	if err == nil {
		loaded = process.Usage()
	}
	now := time.Now()
	f.mu.Lock()
	defer f.unlock()
	free()
	rev.starting--
	if err != nil {
		f.total--
		f.memory -= held
		rev.function.project.count(-1)
		f.startFailed(rev, err, now)
		f.growLocked(rev, now)
		f.drop(rev)
		f.startsDue = true
		return
	}
	inst := newInstance(rev, process, began, now, loaded, held)
	f.recordUsage(inst, now, loaded)
	f.joinLocked(inst, now, until)
}

// joinLocked adds inst to its revision and gives its places to waiting requests.
func (f *Fleet) joinLocked(inst *instance, now, until time.Time) {
	rev := inst.revision
	phases := inst.process.Started()
	rev.function.learned.Started(phases.Claim + phases.Load)
	inst.tick = time.AfterFunc(time.Hour, func() { f.tick(inst) })
	inst.tick.Stop()
	rev.instances = append(rev.instances, inst)
	f.instances[inst] = struct{}{}
	rev.active++
	rev.failures, rev.retry = 0, time.Time{}
	f.work.Go(func() { // the process may end unexpectedly
		<-inst.process.Done()
		f.mu.Lock()
		defer f.unlock()
		f.retire(inst, forced)
	})
	if f.ended {
		f.retire(inst, forced)
		return
	}
	limit := rev.function.learned.Limit.At(rev.ceiling)
	for inst.inFlight < limit && (inst.inFlight == 0 || f.cpu.admit(rev.function, now)) {
		next, free := rev.nextWaiting(now)
		if free == nil {
			break
		}
		f.grant(next, inst, now, startFresh)
	}
	f.serveNext(rev, now)
	switch {
	case rev.forgotten:
		f.retire(inst, forced)
	case inst.inFlight == 0:
		inst.unused = !until.IsZero()
		f.becomeIdle(inst, now)
		if inst.unused {
			inst.idle.Until, inst.planned = until, true
		}
	}
	f.startsDue = true
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
		defer f.unlock()
		free()
		f.startsDue = true
	})
	return func() {
		overdue.Stop()
		free()
	}
}

// attempt starts one instance, within StartTimeout. It passes the time of a failed
// start to the usage sink.
func (o *Options) attempt(ctx context.Context, spec lateen.FunctionSpec) (engine.Instance, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.StartTimeout,
		lateen.ErrFunctionStart.With("%s did not start within %s", spec.Name, o.StartTimeout))
	defer cancel()
	began := time.Now()
	process, err := o.Engine.Start(ctx, spec)
	if err == nil {
		return process, nil
	}
	if o.Usage != nil {
		o.Usage.AddUsage(failedStart(&spec, began, time.Now()))
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if _, ok := errors.AsType[*lateen.Error](err); !ok {
		err = lateen.ErrFunctionStart.Because(err)
	}
	return nil, err
}

// stop ends the process of inst and removes inst from its revision. It waits for the
// leases first: a granted lease may not have reached the instance yet.
func (f *Fleet) stop(inst *instance) {
	if inst.patient {
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
	if err := f.thaw(inst); err != nil && !inst.isDone() { // Stop then kills it
		f.o.Log.Warn("thaw failed before the stop", "function", inst.revision.spec.Name, "instance_id", inst.process.ID(), "err", err)
	}
	inst.process.Stop(ctx)
	f.sampleInstance(inst, true)
	f.mu.Lock()
	defer f.unlock()
	rev := inst.revision
	rev.instances = slices.DeleteFunc(rev.instances, func(other *instance) bool { return other == inst })
	delete(f.instances, inst)
	f.growLocked(rev, time.Now())
	f.drop(rev)
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
	inst.meter.Rest(now, false)
	inst.frozen, inst.freezing = false, false
	return err
}
