package fleet

import (
	"context"
	"log/slog"
	"sync"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fairqueue"
)

// maxPrepares is the maximum number of functions in the queue for preparation.
const maxPrepares = 1024

// preparer has the engine prepare for starts of functions: one function at a time,
// projects in turn.
type preparer struct {
	engine engine.Engine
	log    *slog.Logger
	queue  *fairqueue.Queue[lateen.ProjectID, lateen.FunctionSpec]

	mu      sync.Mutex
	pending map[lateen.FunctionKey]struct{} // functions in the queue or in preparation
}

func newPreparer(e engine.Engine, log *slog.Logger) preparer {
	return preparer{
		engine: e, log: log, queue: fairqueue.New[lateen.ProjectID, lateen.FunctionSpec](maxPrepares),
		pending: map[lateen.FunctionKey]struct{}{},
	}
}

// add queues a function. It never blocks.
func (p *preparer) add(spec lateen.FunctionSpec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.pending[spec.Key]; known {
		return
	}
	p.pending[spec.Key] = struct{}{}
	if out, full := p.queue.Put(spec.Project, spec); full {
		delete(p.pending, out.Key)
	}
}

// run works through the queue until ctx ends.
func (p *preparer) run(ctx context.Context) {
	for {
		spec, err := p.queue.Next(ctx)
		if err != nil {
			return
		}
		if err := p.engine.Prepare(ctx, spec); err != nil && ctx.Err() == nil {
			p.log.Info("function not prepared", "function", spec.Name, "deployment_id", spec.Deployment, "err", err)
		}
		p.mu.Lock()
		delete(p.pending, spec.Key)
		p.mu.Unlock()
	}
}
