package edge

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/foresight"
	"github.com/lateen-dev/lateen/internal/route"
	"github.com/lateen-dev/lateen/internal/share"
)

// site is a deployment ready to serve. It is immutable.
type site struct {
	lateen.Site

	router *route.Router
	groups map[int][]string               // see groupsOf
	specs  map[string]lateen.FunctionSpec // by name in the manifest's Functions
	habits *foresight.Project             // of visitors; those of all deployments of the project
}

// What the parts of a manifest take in memory besides their texts, about.
const (
	fileBytes     = 512 // with a digest, and with those of its codings
	functionBytes = 1024
	outputBytes   = 64
)

// weight is the memory that s takes, about, in bytes.
func (s *site) weight() int64 {
	n := 4096 + s.router.Weight()
	for path, file := range s.Manifest.Files {
		n += fileBytes + int64(len(path)+192*len(file.Encodings))
	}
	for name, fn := range s.Manifest.Functions {
		n += functionBytes + int64(len(name)) + textBytes(fn.Environment)*2 + textBytes(s.Env) // each has an environment of its own
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

// sites keeps the compiled sites that are in use. A site is loaded once,
// whoever else waits for it. Where memory is short, the project whose sites take
// most loses the one that was used least recently.
type sites struct {
	source SiteSource
	habits *foresight.Foresight
	loaded *share.Cache[lateen.ProjectID, lateen.DeploymentID, *site]
	// compiling are the sites that are compiled at once, by team and project.
	compiling *share.Places[string]
}

// maxCompiling is how many sites wait to be compiled.
const maxCompiling = 4096

func newSites(source SiteSource, memory int64) *sites {
	return &sites{
		source: source, habits: foresight.New(),
		loaded:    share.NewCache[lateen.ProjectID, lateen.DeploymentID, *site](memory),
		compiling: share.NewPlaces[string](max(2, runtime.GOMAXPROCS(0)), maxCompiling),
	}
}

// get returns the site of deployment d, loading it if need be.
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
	from, err := s.source.Site(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("load deployment %s: %w", d, err)
	}
	release, err := s.compiling.Take(ctx, string(from.Team), string(from.Project))
	if errors.Is(err, share.ErrFull) {
		return nil, errLoading
	}
	if err != nil {
		return nil, err
	}
	defer release()
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

// forget drops the site of d; a load under way is not kept either.
func (s *sites) forget(d lateen.DeploymentID) { s.loaded.Delete(d) }
