package edge

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

// site is a deployment ready to serve. It is immutable.
type site struct {
	lateen.Site

	router *route.Router
	groups map[int][]string               // see groupsOf
	specs  map[string]lateen.FunctionSpec // function specs by name in the manifest's Functions
	habits *predict.Project               // learned behavior of clients, over all deployments of the project
}

// Approximate memory of the parts of a manifest besides their texts, in bytes.
const (
	fileBytes     = 512 // including its digest
	functionBytes = 1024
	outputBytes   = 64
)

// weight returns the approximate memory of s in bytes.
func (s *site) weight() int64 {
	n := 4096 + s.router.Weight()
	for path, file := range s.Manifest.Files {
		n += fileBytes + int64(len(path)+192*len(file.Encodings))
	}
	for name, fn := range s.Manifest.Functions {
		n += functionBytes + int64(len(name)) + textBytes(fn.Environment)*2 + textBytes(s.Env) // each function has its own environment
	}
	n += textBytes(s.Manifest.Outputs) + textBytes(s.Env)
	for path, p := range s.Manifest.Prerenders {
		n += fileBytes + int64(len(path)+len(p.AllowQuery)*outputBytes)
		if p.Fallback != nil {
			n += fileBytes + textBytes(p.Fallback.Headers)
		}
	}
	for i := range s.Manifest.Routes {
		r := &s.Manifest.Routes[i]
		n += fileBytes + int64(len(r.Src)+len(r.Dest)) + textBytes(r.Headers)
	}
	return n
}

func textBytes(texts map[string]string) (n int64) {
	for key, value := range texts {
		n += outputBytes + int64(len(key)+len(value))
	}
	return n
}

// sites caches the compiled sites in use. Concurrent requests share one load of a
// site. When the memory is used up, the project whose sites take most of it loses the
// least recently used one.
type sites struct {
	source SiteSource
	habits *predict.Predictor
	loaded *share.Cache[lateen.ProjectID, lateen.DeploymentID, *site]
	// loading bounds the sites that are read and compiled concurrently, by team and
	// project.
	loading *share.Places[string]
}

// maxLoading bounds the sites that wait to be loaded.
const maxLoading = 4096

func newSites(source SiteSource, memory int64) *sites {
	return &sites{
		source: source, habits: predict.New(),
		loaded:  share.NewCache[lateen.ProjectID, lateen.DeploymentID, *site](memory),
		loading: share.NewPlaces[string](max(2, runtime.GOMAXPROCS(0)), maxLoading),
	}
}

// get returns the site of deployment d and loads it if necessary.
func (s *sites) get(ctx context.Context, d lateen.DeploymentID) (*site, error) {
	if ready, ok := s.loaded.Get(d); ok {
		return ready, nil
	}
	return s.loaded.Load(ctx, d, func(ctx context.Context) (lateen.ProjectID, *site, int64, error) {
		ready, err := s.load(ctx, d)
		if err != nil {
			return "", nil, 0, err
		}
		return ready.Project, ready, ready.weight(), nil
	})
}

func (s *sites) load(ctx context.Context, d lateen.DeploymentID) (*site, error) {
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
	ready := &site{
		Site: *from, router: router, habits: s.habits.Project(from.Project), groups: groupsOf(from.Manifest),
		specs: make(map[string]lateen.FunctionSpec, len(from.Manifest.Functions)),
	}
	for name := range from.Manifest.Functions {
		ready.specs[name], _ = from.Spec(name)
	}
	return ready, nil
}

// forget drops the site of d; the result of a load in progress is not cached either.
func (s *sites) forget(d lateen.DeploymentID) { s.loaded.Delete(d) }

// refresh reloads the sites of a project for the next request, after a change of its
// settings.
func (s *sites) refresh(p lateen.ProjectID) { s.loaded.DeleteTenant(p) }
