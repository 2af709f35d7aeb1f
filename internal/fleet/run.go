package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// Run keeps the fleet running until ctx ends, then stops every instance and returns
// once all have ended.
func (f *Fleet) Run(ctx context.Context) error {
	f.openUp(ctx)
	var background sync.WaitGroup
	background.Go(func() { f.preparer.run(ctx) })
	background.Go(func() { f.remember(ctx) })
	background.Go(func() { f.reportUsage(ctx) })
	<-ctx.Done()
	f.mu.Lock()
	f.ended = true
	close(f.closed)
	for _, rev := range f.revisions {
		f.refuse(rev, errEnding, 0)
		for _, inst := range rev.instances {
			f.retire(inst, forced)
		}
	}
	for fn := range f.known.all {
		fn.cancelPlan()
	}
	f.unlock()
	f.work.Wait()
	background.Wait()
	return nil
}

// Hasten sets a deadline for all stops that begin from now on, even if their grace
// lasts longer: the caller waits for Run to return.
func (f *Fleet) Hasten(then time.Time) { f.hastened.Store(&then) }

// Forget stops every instance of a deleted deployment, after its requests in flight
// and its waiting requests are done.
func (f *Fleet) Forget(d lateen.DeploymentID) {
	f.mu.Lock()
	defer f.unlock()
	for _, rev := range f.revisions {
		if rev.spec.Deployment != d {
			continue
		}
		rev.forgotten = true
		for _, inst := range rev.instances {
			f.retire(inst, forced)
		}
		f.drop(rev)
	}
	for fn := range f.known.all {
		if fn.next != nil && fn.next.Deployment == d {
			fn.cancelPlan()
		}
	}
}

// Prepare has the engine prepare for starts of spec, in the background: one function
// at a time, projects in turn. It never blocks. If the queue is full, the newest
// function of the project with the longest queue is dropped; only an optimization is
// lost.
func (f *Fleet) Prepare(spec lateen.FunctionSpec) { f.preparer.add(spec) }

// Prepared returns the preparations of the engine for starts of a function on some
// runtime, even if the function has had no request; see [engine.Engine].
func (f *Fleet) Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation {
	return f.o.Engine.Prepared(key, runtime)
}
