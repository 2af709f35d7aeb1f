package fleet

import (
	"context"
	"time"

	"github.com/lateen-dev/lateen"
)

// What is done that nobody asked for. Its budgets are its own, so that no flood
// of it costs those who ask anything.
const (
	aheadFor          = time.Minute // that an instance waits for who is likely to ask
	aheadRate         = 20.0        // starts a second, of all projects
	aheadBurst        = 40.0
	aheadProjectRate  = 2.0 // of each
	aheadProjectBurst = 10.0

	awakeFor = 3 * time.Second // that a frozen instance is thawed for them

	maxPrepares = 1024 // that wait
)

// Prewarm starts an instance of spec for a request that is likely to come,
// unless there is one, or they are short, or too many were started so; one
// that is frozen is thawed. It never waits, and never makes room at another's
// expense. Before Run, and for what cannot start, it does nothing.
func (f *Fleet) Prewarm(spec lateen.FunctionSpec) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || f.ctx == nil {
		return
	}
	if p := f.pools[spec.Key]; p != nil && (p.forgotten || p.active+p.starting+p.wanted > 0) {
		f.rouseLocked(p, now)
		return
	}
	if !f.spareLocked(now) {
		return
	}
	p := f.poolLocked(f.ctx, &spec)
	project := p.function.project
	if f.ahead.Left(now, aheadRate, aheadBurst) < 1 || !project.ahead.Take(now, aheadProjectRate, aheadProjectBurst) {
		f.dropLocked(p)
		return
	}
	f.ahead.Take(now, aheadRate, aheadBurst)
	f.beginLocked(p, now.Add(aheadFor))
}

// rouseLocked thaws the instance of p that the next request gets, if that is frozen.
func (f *Fleet) rouseLocked(p *pool, now time.Time) {
	m := p.roomLocked()
	if m == nil || !m.napping || f.shortLocked(now) || !p.function.project.ahead.Take(now, aheadProjectRate, aheadProjectBurst) {
		return
	}
	f.work.Go(func() { f.rouse(m) })
}

// rouse thaws m and leaves it awake for a while.
func (f *Fleet) rouse(m *member) {
	err := f.wake(m)
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil:
		if !m.leaving && !isDone(m.instance) {
			f.o.Log.Warn("thaw failed, stopping the instance", "function", m.pool.spec.Name, "instance_id", m.instance.ID(), "err", err)
		}
		f.retireLocked(m, forced)
	case !m.leaving && m.inFlight == 0:
		m.rest.Frozen, m.rest.Reclaimed = false, false
		m.rest.Quiet, m.rest.At = now.Add(awakeFor-f.o.Idle.Freeze), now
		f.tickAtLocked(m, now, now.Add(min(awakeFor, m.rest.Until.Sub(now))))
	}
}

// spareLocked reports whether there is enough of everything to start an
// instance nobody has asked for: an eighth of the instances stay free.
func (f *Fleet) spareLocked(now time.Time) bool {
	return len(f.line) == 0 && f.attempts < f.o.Starts && !f.shortLocked(now) &&
		f.total < f.o.Total-f.o.Total/8 && (f.o.Memory <= 0 || f.memory < f.o.Memory-f.o.Memory/8)
}

// foreseeLocked notes when an instance of p is started ahead of the next
// request, now that the last was stopped.
func (f *Fleet) foreseeLocked(p *pool, now time.Time) {
	fn := p.function
	if f.o.KeepAlive > 0 || fn.last != p.spec.Deployment {
		return
	}
	if fn.plan.PrewarmAt.IsZero() || !now.Before(fn.plan.PrewarmUntil) {
		fn.plan = f.o.Policy.Prewarm(&fn.history, now, fn.costs())
	}
	if fn.plan.PrewarmAt.IsZero() {
		return
	}
	spec := p.spec
	fn.next = &spec
	fn.planned = time.AfterFunc(fn.plan.PrewarmAt.Sub(now), func() { f.startAhead(fn) })
}

// startAhead starts the instance that was planned, unless somebody has asked
// for one meanwhile or others need it more.
func (f *Fleet) startAhead(fn *function) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fn.next == nil || f.ended || f.ctx == nil {
		return
	}
	now, spec, until := time.Now(), fn.next, fn.plan.PrewarmUntil
	fn.cancelPlan()
	if p := f.pools[spec.Key]; p == nil && f.spareLocked(now) {
		f.beginLocked(f.poolLocked(f.ctx, spec), until)
	}
}

// Prepare has the engine prepare for starts of spec, in the background, one
// function at a time and one of each project in turn. It never waits; what is
// more than there is room for is left out, for it costs nothing but the gain:
// the last of whoever has most.
func (f *Fleet) Prepare(spec lateen.FunctionSpec) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.preparing[spec.Key]; known || f.ended {
		return
	}
	f.preparing[spec.Key] = struct{}{}
	if out, full := f.prepares.Put(spec.Project, spec); full {
		delete(f.preparing, out.Key)
	}
}

// prepare does what Prepare asks for until ctx ends.
func (f *Fleet) prepare(ctx context.Context) {
	for {
		spec, err := f.prepares.Next(ctx)
		if err != nil {
			return
		}
		if err := f.o.Engine.Prepare(ctx, spec); err != nil && ctx.Err() == nil {
			f.o.Log.Info("not prepared", "function", spec.Name, "deployment_id", spec.Deployment, "err", err)
		}
		f.mu.Lock()
		delete(f.preparing, spec.Key)
		f.mu.Unlock()
	}
}
