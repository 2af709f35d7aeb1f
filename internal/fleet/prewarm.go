package fleet

import (
	"time"

	"github.com/lateen-dev/lateen"
)

// Limits of starts and preparations that no request triggers. They have budgets of
// their own, so that a flood of them does not slow requests down.
const (
	prewarmLifetime     = time.Minute // lifetime of a prewarmed instance that gets no request
	prewarmRate         = 20.0        // starts per second, all projects together
	prewarmBurst        = 40.0
	prewarmProjectRate  = 2.0 // starts per second and project
	prewarmProjectBurst = 10.0

	thawedFor = 3 * time.Second // time that an early thaw keeps an idle instance from being frozen again
)

// Prewarm starts an instance of spec for a request that is likely to come. If there
// are instances already, it only thaws the one that the next request gets. It does
// nothing if capacity is short, if the budget of such starts is used up, for a
// deleted deployment, and before Run. It never blocks and never evicts another
// instance.
func (f *Fleet) Prewarm(spec lateen.FunctionSpec) {
	now := time.Now()
	f.mu.Lock()
	defer f.unlock()
	if f.ended || f.ctx == nil {
		return
	}
	if rev := f.revisions[spec.Key]; rev != nil && (rev.forgotten || rev.active+rev.starting+rev.wanted > 0) {
		f.prethawLocked(rev, now)
		return
	}
	if !f.mayPrewarm(now) {
		return
	}
	rev := f.revisionOf(f.ctx, &spec)
	project := rev.function.project
	if f.prewarms.Left(now, prewarmRate, prewarmBurst) < 1 || !project.prewarms.Take(now, prewarmProjectRate, prewarmProjectBurst) {
		f.drop(rev)
		return
	}
	f.prewarms.Take(now, prewarmRate, prewarmBurst)
	f.beginLocked(rev, now.Add(prewarmLifetime))
}

// prethawLocked thaws the instance that the next request of rev gets, if it is
// frozen.
func (f *Fleet) prethawLocked(rev *revision, now time.Time) {
	inst := rev.available()
	if inst == nil || !inst.freezing || f.cpu.IsShort(now) || !rev.function.project.prewarms.Take(now, prewarmProjectRate, prewarmProjectBurst) {
		return
	}
	f.work.Go(func() { f.prethaw(inst) })
}

// prethaw thaws inst and keeps it from being frozen for [thawedFor].
func (f *Fleet) prethaw(inst *instance) {
	err := f.thaw(inst)
	now := time.Now()
	f.mu.Lock()
	defer f.unlock()
	switch {
	case err != nil:
		if !inst.leaving && !inst.isDone() {
			f.o.Log.Warn("thaw failed, stopping the instance", "function", inst.revision.spec.Name, "instance_id", inst.process.ID(), "err", err)
		}
		f.retire(inst, forced)
	case !inst.leaving && inst.inFlight == 0:
		inst.idle.Frozen, inst.idle.Reclaimed = false, false
		inst.idle.BusyUntil, inst.idle.At = now.Add(thawedFor-f.o.Idle.Freeze), now
		inst.tickAt(now, now.Add(min(thawedFor, inst.idle.Until.Sub(now))))
	}
}

// scheduleStartLocked schedules a start of rev before its next expected request,
// after the last instance of rev was stopped.
func (f *Fleet) scheduleStartLocked(rev *revision, now time.Time) {
	fn := rev.function
	if f.o.KeepAlive > 0 || fn.last != rev.spec.Deployment {
		return
	}
	if fn.plan.PrewarmAt.IsZero() || !now.Before(fn.plan.PrewarmUntil) {
		fn.plan = f.o.Policy.Prewarm(&fn.learned.History, now, fn.learned.Costs())
	}
	if fn.plan.PrewarmAt.IsZero() {
		return
	}
	spec := rev.spec
	fn.next = &spec
	fn.planned = time.AfterFunc(fn.plan.PrewarmAt.Sub(now), func() { f.startScheduled(fn) })
}

// startScheduled starts the instance that was scheduled, unless a request has
// started one meanwhile or capacity is short.
func (f *Fleet) startScheduled(fn *function) {
	f.mu.Lock()
	defer f.unlock()
	if fn.next == nil || f.ended || f.ctx == nil {
		return
	}
	now, spec, until := time.Now(), fn.next, fn.plan.PrewarmUntil
	fn.cancelPlan()
	if rev := f.revisions[spec.Key]; rev == nil && f.mayPrewarm(now) {
		f.beginLocked(f.revisionOf(f.ctx, spec), until)
	}
}
