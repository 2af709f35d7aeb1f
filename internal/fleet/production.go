package fleet

import (
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
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	if f.ctx == nil {
		f.early[id] = production{d, functions}
		return
	}
	f.produceLocked(id, production{d, functions})
}

// production holds the arguments of a call of [Fleet.Produce] for a project.
type production struct {
	deployment lateen.DeploymentID
	functions  []lateen.FunctionSpec
}

func (f *Fleet) produceLocked(id lateen.ProjectID, is production) {
	for _, rev := range f.revisions {
		if rev.function.project.id == id && rev.spec.Deployment != is.deployment && rev.minimum > 0 {
			rev.minimum = 0
			f.dropLocked(rev)
		}
	}
	now := time.Now()
	for i := range is.functions {
		spec := &is.functions[i]
		if spec.Function.MinInstances == 0 {
			continue
		}
		rev := f.revisionLocked(f.ctx, spec)
		rev.minimum = min(spec.Function.MinInstances, rev.most)
		f.growLocked(rev, now)
	}
}

// produceEarly carries out the calls of Produce before Run.
func (f *Fleet) produceEarly() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, is := range f.early {
		f.produceLocked(id, is)
	}
	f.early = nil
}
