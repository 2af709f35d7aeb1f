package site

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/predict"
	"github.com/lateen-dev/lateen/internal/route"
	"github.com/lateen-dev/lateen/internal/share"
)

// Source loads deployments. Both methods return [lateen.ErrDeploymentNotFound] for a
// deleted deployment.
type Source interface {
	// Owner returns the team and the project of a deployment. It is cheap, whereas Site
	// may read a manifest of hundreds of megabytes.
	Owner(ctx context.Context, d lateen.DeploymentID) (lateen.TeamID, lateen.ProjectID, error)
	Site(ctx context.Context, d lateen.DeploymentID) (*lateen.Site, error)
}

// Sites caches the compiled sites in use. Concurrent requests share one load of a
// site. When the memory is used up, the project whose sites take most of it loses the
// least recently used one.
type Sites struct {
	source Source
	habits *predict.Predictor
	loaded *share.Cache[lateen.ProjectID, lateen.DeploymentID, *Site]
	// loading bounds the sites that are read and compiled concurrently, by team and
	// project.
	loading *share.Places[string]
}

// maxLoading bounds the sites that wait to be loaded.
const maxLoading = 4096

// New returns a cache of the sites of source, with memory in bytes.
func New(source Source, memory int64) *Sites {
	return &Sites{
		source: source, habits: predict.New(),
		loaded:  share.NewCache[lateen.ProjectID, lateen.DeploymentID, *Site](memory),
		loading: share.NewPlaces[string](max(2, runtime.GOMAXPROCS(0)), maxLoading),
	}
}

// Get returns the site of deployment d and loads it if necessary.
func (s *Sites) Get(ctx context.Context, d lateen.DeploymentID) (*Site, error) {
	if ready, ok := s.loaded.Get(d); ok {
		return ready, nil
	}
	return s.loaded.Load(ctx, d, func(ctx context.Context) (lateen.ProjectID, *Site, int64, error) {
		ready, err := s.load(ctx, d)
		if err != nil {
			return "", nil, 0, err
		}
		return ready.Project, ready, ready.weight(), nil
	})
}

// Loaded returns the site of deployment d if it is in memory.
func (s *Sites) Loaded(d lateen.DeploymentID) (*Site, bool) { return s.loaded.Get(d) }

func (s *Sites) load(ctx context.Context, d lateen.DeploymentID) (*Site, error) {
	team, project, err := s.source.Owner(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("load deployment %s: %w", d, err)
	}
	release, err := s.loading.Take(ctx, string(team), string(project)) // before the manifest is read into memory
	if errors.Is(err, share.ErrFull) {
		return nil, problem.ErrLoading
	}
	if err != nil {
		return nil, err
	}
	defer release()
	from, err := s.source.Site(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("load deployment %s: %w", d, err)
	}
	router, err := route.Compile(from.Manifest)
	if err != nil {
		return nil, fmt.Errorf("compile the routes of %s: %w", d, err)
	}
	ready := &Site{
		Site: *from, Router: router, Traffic: s.habits.Project(from.Project), Groups: groupsOf(from.Manifest),
		Specs: make(map[string]lateen.FunctionSpec, len(from.Manifest.Functions)),
	}
	for name := range from.Manifest.Functions {
		ready.Specs[name], _ = from.Spec(name)
	}
	return ready, nil
}

// Forget drops the site of d; the result of a load in progress is not cached either.
func (s *Sites) Forget(d lateen.DeploymentID) { s.loaded.Delete(d) }

// Refresh reloads the sites of a project for the next request, after a change of its
// settings.
func (s *Sites) Refresh(p lateen.ProjectID) { s.loaded.DeleteTenant(p) }
