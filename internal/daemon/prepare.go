package daemon

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// preparer has the fleet prepare the functions of production deployments, so that
// even their first start is short, and reports the deployments in production to the
// fleet.
type preparer struct {
	site    func(ctx context.Context, d lateen.DeploymentID) (*lateen.Site, error)
	prepare func(spec lateen.FunctionSpec)                                                   // never blocks
	produce func(p lateen.ProjectID, d lateen.DeploymentID, functions []lateen.FunctionSpec) // never blocks
	log     *slog.Logger
	routed  chan lateen.DeploymentID
	wake    chan struct{} // holds a token while pending has a project

	mu         sync.Mutex // guards the fields below
	production map[lateen.ProjectID]lateen.DeploymentID
	pending    map[lateen.ProjectID]struct{} // projects whose production deployment the fleet does not know yet
}

// maxRouted bounds the queue of routed deployments. The preparer drops further ones;
// the first start prepares their functions.
const maxRouted = 64

// retryInterval is the time between attempts to read a production deployment.
const retryInterval = time.Minute

func newPreparer(log *slog.Logger) *preparer {
	return &preparer{
		log: log, routed: make(chan lateen.DeploymentID, maxRouted), wake: make(chan struct{}, 1),
		production: map[lateen.ProjectID]lateen.DeploymentID{}, pending: map[lateen.ProjectID]struct{}{},
	}
}

// apply queues the deployments that hosts lead to, and follows the changes of
// production. It never blocks.
func (p *preparer) apply(events []lateen.Event) {
	bound := make(map[lateen.DeploymentID]struct{})
	for i := range events {
		switch e := &events[i]; e.Type {
		case lateen.HostBound:
			bound[e.Binding.Deployment] = struct{}{}
		case lateen.DeploymentPromoted:
			p.setProduction(e.Project, e.Deployment)
		case lateen.DeploymentRemoved:
			p.forget(e.Deployment)
		default: // concerns other subscribers
		}
	}
	for id := range bound {
		select {
		case p.routed <- id:
		default:
		}
	}
}

// setProduction sets the production deployment of a project. It never blocks.
func (p *preparer) setProduction(project lateen.ProjectID, id lateen.DeploymentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.production[project] = id
	p.pending[project] = struct{}{}
	p.signal()
}

func (p *preparer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// forget removes a deleted deployment. After its return, the preparer reports the
// deployment to the fleet no more.
func (p *preparer) forget(id lateen.DeploymentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.production, func(_ lateen.ProjectID, d lateen.DeploymentID) bool { return d == id })
}

// Run handles routed deployments and changes of production until ctx ends.
func (p *preparer) Run(ctx context.Context) error {
	var failed []lateen.ProjectID
	again := time.NewTimer(retryInterval)
	defer again.Stop()
	for {
		select {
		case id := <-p.routed:
			if err := p.prepareAll(ctx, id); err != nil && ctx.Err() == nil {
				p.log.Warn("could not prepare the functions of a deployment", "deployment_id", id, "err", err)
			}
		case <-p.wake:
			if project, err := p.report(ctx); err != nil && ctx.Err() == nil {
				p.log.Warn("could not update minimum instances: the production deployment is unreadable; retrying", "project_id", project, "err", err)
				failed = append(failed, project)
			}
		case <-again.C:
			p.retry(failed)
			failed = failed[:0]
			again.Reset(retryInterval)
		case <-ctx.Done():
			return nil
		}
	}
}

// retry marks projects as pending again.
func (p *preparer) retry(projects []lateen.ProjectID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, project := range projects {
		p.pending[project] = struct{}{}
	}
	p.signal()
}

// report reports the production deployment of one pending project to the fleet, and
// signals Run to continue with the next.
func (p *preparer) report(ctx context.Context) (lateen.ProjectID, error) {
	project, id, ok := p.next()
	if !ok {
		return "", nil
	}
	functions, err := p.minimums(ctx, id)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal()
	if p.production[project] != id { // production has changed meanwhile
		return project, nil
	}
	if err != nil && !errors.Is(err, lateen.ErrDeploymentNotFound) {
		return project, err
	}
	p.produce(project, id, functions)
	return project, nil
}

// next removes a pending project and returns it with its production deployment.
func (p *preparer) next() (project lateen.ProjectID, id lateen.DeploymentID, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for project := range p.pending {
		delete(p.pending, project)
		if id, ok := p.production[project]; ok {
			return project, id, true
		}
	}
	return "", "", false
}

// minimums returns the functions of a deployment that have minimum instances.
func (p *preparer) minimums(ctx context.Context, id lateen.DeploymentID) (functions []lateen.FunctionSpec, err error) {
	site, err := p.site(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(site.Manifest.Functions)) {
		if spec, ok := site.Spec(name); ok && spec.Function.MinInstances > 0 {
			functions = append(functions, spec)
		}
	}
	return functions, nil
}

// prepareAll prepares all functions of a deployment if it is for production.
func (p *preparer) prepareAll(ctx context.Context, id lateen.DeploymentID) error {
	if id == "" {
		return nil // a host without a deployment
	}
	site, err := p.site(ctx, id)
	if err != nil {
		return err
	}
	if site.Target != lateen.Production {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(site.Manifest.Functions)) {
		if spec, ok := site.Spec(name); ok {
			p.prepare(spec)
		}
	}
	return nil
}
