package fleet

import (
	"context"
	"time"

	"github.com/lateen-dev/lateen"
)

// Produce makes d the production deployment of a project: from now on the fleet
// keeps the minimum instances of d's functions, and no longer those of the previous
// production deployment. functions are those of d; functions without minimum
// instances may be omitted. A d of "" means that the project has no production
// deployment. Produce never blocks.
func (f *Fleet) Produce(id lateen.ProjectID, d lateen.DeploymentID, functions []lateen.FunctionSpec) {
	f.mu.Lock()
	defer f.unlock()
	if f.ended {
		return
	}
	if f.ctx == nil {
		f.early[id] = production{d, functions}
		return
	}
	f.produceLocked(id, production{d, functions})
}

func (f *Fleet) produceLocked(id lateen.ProjectID, is production) {
	for _, rev := range f.revisions {
		if rev.function.project.id == id && rev.spec.Deployment != is.deployment && rev.minimum > 0 {
			rev.minimum = 0
			f.drop(rev)
		}
	}
	now := time.Now()
	for i := range is.functions {
		spec := &is.functions[i]
		if spec.Function.MinInstances == 0 {
			continue
		}
		rev := f.revisionOf(f.ctx, spec)
		rev.minimum = min(spec.Function.MinInstances, rev.most)
		f.growLocked(rev, now)
	}
}

// openUp restores the learned statistics, permits starts that no request triggers,
// and carries out the calls of Produce before Run. Functions whose statistics cannot
// be read start without.
func (f *Fleet) openUp(ctx context.Context) {
	all, err := readHistories(f.o.Histories)
	if err != nil {
		f.o.Log.Warn("could not read the statistics of functions", "err", err)
	}
	f.mu.Lock()
	defer f.unlock()
	for i := range all {
		f.restore(&all[len(all)-1-i]) // so that the function with the newest request ends up as the newest
	}
	f.ctx = context.WithoutCancel(ctx)
	for id, is := range f.early {
		f.produceLocked(id, is)
	}
	f.early = nil
}
