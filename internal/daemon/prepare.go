package daemon

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"github.com/lateen-dev/lateen"
)

// preparer has the functions of a deployment prepared once it is production,
// so that even their first start is a short one.
type preparer struct {
	site    func(ctx context.Context, d lateen.DeploymentID) (*lateen.Site, error)
	prepare func(spec lateen.FunctionSpec) // never blocks
	log     *slog.Logger
	routed  chan lateen.DeploymentID
}

// maxRouted bounds the deployments that wait to be looked at. More are left
// alone: their functions are prepared by their first start.
const maxRouted = 64

func newPreparer(log *slog.Logger) *preparer {
	return &preparer{log: log, routed: make(chan lateen.DeploymentID, maxRouted)}
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

// Run looks at what is routed until ctx ends.
func (p *preparer) Run(ctx context.Context) error {
	for {
		select {
		case id := <-p.routed:
			if err := p.look(ctx, id); err != nil && ctx.Err() == nil {
				p.log.Warn("the functions of a deployment are not prepared", "deployment_id", id, "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
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
