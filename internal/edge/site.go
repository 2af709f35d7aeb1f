package edge

import (
	"context"
	"fmt"
	"math"

	"github.com/maypok86/otter/v2"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/foresight"
	"github.com/lateen-dev/lateen/internal/route"
)

// site is a deployment ready to serve. It is immutable.
type site struct {
	lateen.Site

	router *route.Router
	specs  map[string]lateen.FunctionSpec // by name in the manifest's Functions
	bypass map[string]*route.Conditions   // to go past a prerender, by output
	habits *foresight.Project             // of visitors; those of all deployments of the project
}

// weight is how many entries of tables s holds, about 300 bytes each.
func (s *site) weight() uint32 {
	m := s.Manifest
	n := 1 + len(m.Routes) + len(m.Files) + len(m.Functions) + len(m.Outputs) + len(m.Prerenders) + len(s.Env)
	return uint32(min(n, math.MaxUint32)) //nolint:gosec // bounded by min
}

// sites keeps the compiled sites that are in use. A site is loaded once,
// whoever else waits for it, and forgotten when others are used more.
type sites struct {
	source SiteSource
	habits *foresight.Foresight
	loaded *otter.Cache[lateen.DeploymentID, *site]
}

func newSites(source SiteSource, entries int) *sites {
	return &sites{source: source, habits: foresight.New(), loaded: otter.Must(&otter.Options[lateen.DeploymentID, *site]{
		MaximumWeight: uint64(entries), //nolint:gosec // an option, never negative
		Weigher:       func(_ lateen.DeploymentID, s *site) uint32 { return s.weight() },
	})}
}

// get returns the site of deployment d, loading it if need be.
func (s *sites) get(ctx context.Context, d lateen.DeploymentID) (*site, error) {
	return s.loaded.Get(ctx, d, otter.LoaderFunc[lateen.DeploymentID, *site](s.load))
}

func (s *sites) load(ctx context.Context, d lateen.DeploymentID) (*site, error) {
	from, err := s.source.Site(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("load deployment %s: %w", d, err)
	}
	router, err := route.Compile(from.Manifest)
	if err != nil {
		return nil, fmt.Errorf("compile the routes of %s: %w", d, err)
	}
	bypass, err := bypassConditions(from.Manifest)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", d, err)
	}
	ready := &site{
		Site: *from, router: router, bypass: bypass, habits: s.habits.Project(from.Project),
		specs: make(map[string]lateen.FunctionSpec, len(from.Manifest.Functions)),
	}
	for name := range from.Manifest.Functions {
		ready.specs[name], _ = from.Spec(name)
	}
	return ready, nil
}

// forget drops the site of d; a load under way is not kept either.
func (s *sites) forget(d lateen.DeploymentID) { s.loaded.Invalidate(d) }
