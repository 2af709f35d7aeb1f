// Package learn learns from the starts of functions how to make later ones cheaper: it
// makes training runs, and keeps code caches and templates of the functions.
package learn

import (
	"cmp"
	"net/http"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
	"github.com/lateen-dev/lateen/internal/fairqueue"
)

// minCodeCache is the size, in bytes, above which a code cache saves more time
// than mounting it in a sandbox costs, which is most of a millisecond.
const minCodeCache = 32 << 10

// Learner holds the facts learned about functions, and prepares the functions.
type Learner struct {
	group     *instance.Group
	archives  *codecache.Store
	templates *template.Templates
	minCache  int64 // minimum bytes of a code cache that is used
	profiles  profiles
	queue     *fairqueue.Queue[lateen.ProjectID, preparation]
}

// New returns a learner that knows no function. It keeps code caches in archives.
func New(g *instance.Group, archives *codecache.Store, ts *template.Templates) *Learner {
	return &Learner{
		group: g, archives: archives, templates: ts, minCache: minCodeCache,
		queue: fairqueue.New[lateen.ProjectID, preparation](maxPreparing),
	}
}

// SetMinCache sets the size in bytes above which code caches are used.
func (l *Learner) SetMinCache(bytes int64) { l.minCache = bytes }

// With runs f on the profile of a function, under the lock.
func (l *Learner) With(key lateen.FunctionKey, f func(*Profile)) { l.profiles.with(key, f) }

// Forget drops the facts about the functions of a deployment.
func (l *Learner) Forget(d lateen.DeploymentID) { l.profiles.forget(d) }

// Started records a start, and returns the CPU time of a start without a template; 0 if
// it is unknown.
func (l *Learner) Started(key lateen.FunctionKey, began time.Time) (cost time.Duration) {
	l.profiles.with(key, func(a *Profile) { cost, a.lastStart = a.Cost, began })
	return cost
}

// usableCache returns the code cache from which a process should load a function; nil
// if loading without one is faster.
func (l *Learner) usableCache(key lateen.FunctionKey, tag string) *codecache.Archive {
	if a := l.archives.Find(key, tag); a != nil && (a.Size >= l.minCache || a.Modules) {
		return a
	}
	return nil
}

// Cached returns the activation that loads a function from its code cache, if
// it has one that a process with this tag can read.
func (l *Learner) Cached(spec lateen.FunctionSpec, tag string) instance.Activation {
	return instance.Activation{Archive: l.usableCache(spec.Key, tag), Rejected: func() { l.dropCache(spec, tag) }}
}

// dropCache drops a code cache that the runtime has rejected. A later preparation
// makes a new one.
func (l *Learner) dropCache(spec lateen.FunctionSpec, tag string) {
	l.group.Host.Log.Info("code cache rejected by the runtime; a later start makes a new one", "function", spec.Name, "deployment_id", spec.Deployment)
	l.archives.Drop(spec.Key, tag)
	l.profiles.with(spec.Key, func(a *Profile) { a.Trained = false })
}

// Answered returns a function that learns from the first response of an instance.
func (l *Learner) Answered(r *process.Runner, spec lateen.FunctionSpec, began time.Time) func(*instance.Instance, *http.Request, int) {
	var first sync.Once
	return func(i *instance.Instance, req *http.Request, status int) {
		first.Do(func() {
			took := time.Since(began)
			v, ok := instance.SampleOf(req)
			l.group.Host.Go(func() { l.learnStart(r, spec, i, took, v, ok && status == http.StatusOK) })
		})
	}
}

// learnStart records the duration of the start, up to the end of the first response.
func (l *Learner) learnStart(r *process.Runner, spec lateen.FunctionSpec, i *instance.Instance, took time.Duration, v instance.Sample, repeats bool) {
	cost := min(took, i.Usage().CPU) // excludes the time in which it waited for other processes
	l.profiles.with(spec.Key, func(a *Profile) {
		if a.Cost == 0 || cost < a.Cost {
			a.Cost = cost
		}
	})
	if repeats {
		l.profiles.addSample(spec.Key, v)
	}
	l.Queue(r, spec, cmp.Or(i.BootedTag, i.Tag))
}
