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

// preparer has the functions of a deployment prepared once it is production,
// so that even their first start is a short one, and tells the fleet which
// deployments are in production.
type preparer struct {
	site    func(ctx context.Context, d lateen.DeploymentID) (*lateen.Site, error)
	prepare func(spec lateen.FunctionSpec)                                                   // never blocks
	produce func(p lateen.ProjectID, d lateen.DeploymentID, functions []lateen.FunctionSpec) // never blocks
	log     *slog.Logger
	routed  chan lateen.DeploymentID
	wake    chan struct{} // holds a token while there is a project in news

	mu         sync.Mutex // guards below
	production map[lateen.ProjectID]lateen.DeploymentID
	news       map[lateen.ProjectID]struct{} // whose production the fleet has not been told
}

// maxRouted bounds the deployments that wait to be looked at. More are left
// alone: their functions are prepared by their first start.
const maxRouted = 64

// tellAgain is when the fleet is told of a production that could not be read.
const tellAgain = time.Minute

func newPreparer(log *slog.Logger) *preparer {
	return &preparer{
		log: log, routed: make(chan lateen.DeploymentID, maxRouted), wake: make(chan struct{}, 1),
		production: map[lateen.ProjectID]lateen.DeploymentID{}, news: map[lateen.ProjectID]struct{}{},
	}
}

// route takes note of deployments that hosts lead to from now on. It never blocks.
func (p *preparer) route(hosts map[string]lateen.DeploymentID) {
	for _, id := range slices.Compact(slices.Sorted(maps.Values(hosts))) {
		select {
		case p.routed <- id:
		default:
		}
	}
}

// setProduction takes note of the deployment in production. It never blocks.
func (p *preparer) setProduction(project lateen.ProjectID, id lateen.DeploymentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.production[project] = id
	p.news[project] = struct{}{}
	p.signal()
}

func (p *preparer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// forget takes a deployment out of production, which is deleted. Once it
// returns, the fleet is not told of the deployment.
func (p *preparer) forget(id lateen.DeploymentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.production, func(_ lateen.ProjectID, d lateen.DeploymentID) bool { return d == id })
}

// Run looks at what is routed and at what is in production until ctx ends.
func (p *preparer) Run(ctx context.Context) error {
	var failed []lateen.ProjectID
	again := time.NewTimer(tellAgain)
	defer again.Stop()
	for {
		select {
		case id := <-p.routed:
			if err := p.look(ctx, id); err != nil && ctx.Err() == nil {
				p.log.Warn("the functions of a deployment are not prepared", "deployment_id", id, "err", err)
			}
		case <-p.wake:
			if project, err := p.tell(ctx); err != nil && ctx.Err() == nil {
				p.log.Warn("minimum instances are not kept yet: the deployment in production cannot be read", "project_id", project, "err", err)
				failed = append(failed, project)
			}
		case <-again.C:
			p.retry(failed)
			failed = failed[:0]
			again.Reset(tellAgain)
		case <-ctx.Done():
			return nil
		}
	}
}

// retry makes the production of projects news again.
func (p *preparer) retry(projects []lateen.ProjectID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, project := range projects {
		p.news[project] = struct{}{}
	}
	p.signal()
}

// tell tells the fleet of one production that is news, and has the next follow.
func (p *preparer) tell(ctx context.Context) (lateen.ProjectID, error) {
	project, id, ok := p.next()
	if !ok {
		return "", nil
	}
	functions, err := p.minimums(ctx, id)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal()
	if p.production[project] != id { // it has changed meanwhile
		return project, nil
	}
	if err != nil && !errors.Is(err, lateen.ErrDeploymentNotFound) {
		return project, err
	}
	p.produce(project, id, functions)
	return project, nil
}

// next takes a project whose production is news.
func (p *preparer) next() (project lateen.ProjectID, id lateen.DeploymentID, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for project := range p.news {
		delete(p.news, project)
		if id, ok := p.production[project]; ok {
			return project, id, true
		}
	}
	return "", "", false
}

// minimums are the functions of a deployment that have a minimum of instances.
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

// look has every function of a production deployment prepared.
func (p *preparer) look(ctx context.Context, id lateen.DeploymentID) error {
	if id == "" {
		return nil // a host that leads nowhere
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
