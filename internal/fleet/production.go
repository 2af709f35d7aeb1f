package fleet

import (
	"time"

	"github.com/lateen-dev/lateen"
)

// Produce makes d the deployment that serves the production hosts of a project:
// from now on the minimum instances of its functions are kept, and those of the
// deployment before it are no longer. functions are those of d; the ones without
// a minimum may be left out. "" is no deployment. It never waits.
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

// production is what [Fleet.Produce] is told of a project.
type production struct {
	deployment lateen.DeploymentID
	functions  []lateen.FunctionSpec
}

func (f *Fleet) produceLocked(id lateen.ProjectID, is production) {
	for _, p := range f.pools {
		if p.function.project.id == id && p.spec.Deployment != is.deployment && p.minimum > 0 {
			p.minimum = 0
			f.dropLocked(p)
		}
	}
	now := time.Now()
	for i := range is.functions {
		spec := &is.functions[i]
		if spec.Function.MinInstances == 0 {
			continue
		}
		p := f.poolLocked(f.ctx, spec)
		p.minimum = min(spec.Function.MinInstances, p.most)
		f.growLocked(p, now)
	}
}

// produceEarly does what Produce was told before Run.
func (f *Fleet) produceEarly() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, is := range f.early {
		f.produceLocked(id, is)
	}
	f.early = nil
}
