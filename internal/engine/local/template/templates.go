// Package template keeps processes that have loaded a function and only fork: an
// instance that starts in a forked process has the code loaded already.
package template

import (
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
)

// Templates are the most recently used processes from which instances are forked.
type Templates struct {
	group   *instance.Group
	library string        // path of the library for forking, as a process sees it
	wake    chan struct{} // holds a token when KeepStandbys has work

	mu    sync.Mutex // guards the fields below, and some of each template
	limit int64      // bytes of all templates and standbys; 0 disables templates
	all   []*Template
	of    map[lateen.FunctionKey]*Template // templates that fork, by function
}

// New returns an empty set of templates, whose processes use a library for forking,
// and whose memory with that of the standbys is limited to these bytes; 0 disables
// templates.
func New(group *instance.Group, library string, limit int64) *Templates {
	return &Templates{group: group, library: library, limit: limit, wake: make(chan struct{}, 1), of: map[lateen.FunctionKey]*Template{}}
}

// Enabled reports whether templates are enabled.
func (ts *Templates) Enabled() bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.limit > 0
}

// SetLimit changes the limit of the memory, and retires the processes above it.
func (ts *Templates) SetLimit(bytes int64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.limit = bytes
	ts.trimLocked()
}

// Has reports whether a function has a template that forks.
func (ts *Templates) Has(key lateen.FunctionKey) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.of[key] != nil
}

// Of returns the template that forks processes of a function; nil if there is none.
// It drops a template that has ended, and one of the function with other settings.
func (ts *Templates) Of(spec lateen.FunctionSpec) *Template {
	ts.mu.Lock()
	t := ts.of[spec.Key]
	ts.mu.Unlock()
	if t == nil {
		return nil
	}
	if t.gone() || !sameFunction(t.spec, spec) {
		ts.Drop(t)
		return nil
	}
	return t
}

// Forget drops the templates of a deployment.
func (ts *Templates) Forget(d lateen.DeploymentID) {
	for _, t := range ts.List() {
		if t.spec.Deployment == d {
			ts.Drop(t)
		}
	}
}

// List returns the templates, with those of modules.
func (ts *Templates) List() []*Template {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return slices.Clone(ts.all)
}

// add makes starts of a function use a template, and retires the least recently used
// templates if memory is short.
func (ts *Templates) add(t *Template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.of[t.spec.Key] = t
	ts.addLocked(t)
}

func (ts *Templates) addLocked(t *Template) {
	t.gap.since = time.Now()
	ts.all = append(ts.all, t)
	ts.trimLocked()
	ts.wakeUp()
}

// Drop ends the use of a template; false if it was dropped before.
func (ts *Templates) Drop(t *Template) (dropped bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.all = slices.DeleteFunc(ts.all, func(x *Template) bool { return x == t })
	t.retireLocked()
	if ts.of[t.spec.Key] != t {
		return false
	}
	delete(ts.of, t.spec.Key)
	return true
}

// fitLocked sorts the templates, and returns how many of them, and of their
// standbys, fit into the memory.
func (ts *Templates) fitLocked() (templates, standbys int) {
	slices.SortFunc(ts.all, func(x, y *Template) int { return y.lastUsed.Compare(x.lastUsed) })
	all := make([]memoryUse, len(ts.all))
	for n, t := range ts.all {
		all[n] = t.memory
	}
	return fit(ts.limit, all)
}

// trimLocked retires the templates and standbys that do not fit into the memory.
func (ts *Templates) trimLocked() {
	templates, standbys := ts.fitLocked()
	for _, t := range ts.all[standbys:] {
		if t.Instance != nil {
			t.dropStandbyLocked()
		}
	}
	for _, extra := range ts.all[templates:] {
		extra.retireLocked()
	}
	ts.all = ts.all[:templates]
}

// Memory returns the bytes for which a template and its standby count.
func (ts *Templates) Memory(t *Template) (own, standby int64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return t.memory.template, t.memory.standby
}

// wakeUp wakes KeepStandbys.
func (ts *Templates) wakeUp() {
	select {
	case ts.wake <- struct{}{}:
	default:
	}
}

// memoryUse is the memory of a template and of its standby.
type memoryUse struct{ template, standby int64 }

// fit returns how many of the templates fit into the limit, the most recently used
// ones first, and for how many of these a standby fits into the rest.
func fit(limit int64, all []memoryUse) (templates, standbys int) {
	for _, h := range all {
		if limit -= h.template; limit < 0 {
			return templates, 0
		}
		templates++
	}
	for _, h := range all {
		if limit -= h.standby; limit < 0 {
			return templates, standbys
		}
		standbys++
	}
	return templates, standbys
}

// sameFunction reports whether two specs describe a function of equal behavior.
func sameFunction(x, y lateen.FunctionSpec) bool { return reflect.DeepEqual(x, y) }
