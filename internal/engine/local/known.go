package local

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	maxKnown  = 16384 // functions that are remembered
	maxVisits = 4     // of each
	maxVisit  = 512   // bytes of a path that is remembered
)

// known is what the engine has learned of functions.
type known struct {
	mu  sync.Mutex // guards below, and what is in it
	all map[lateen.FunctionKey]*acquaintance
}

// acquaintance is what the engine has learned of a function.
type acquaintance struct {
	cost     time.Duration // the shortest start without a template, to its first answer; 0: none yet
	visits   []visit       // requests that it answered, to warm it up
	seen     time.Time     // when it was last started
	busy     bool          // it is being prepared
	refined  bool          // prepared with visits
	prepared time.Time     // when that was last tried
	failed   int           // and how often in a row in vain
	trouble  string        // why so the last time
	forkable forkability
	why      string // it is not forkable
	template *template
}

// tried takes note of how preparing it went.
func (a *acquaintance) tried(err error) {
	a.busy, a.prepared, a.trouble = false, time.Now(), reason(err)
	if err == nil {
		a.failed = 0
	} else {
		a.failed++
	}
}

// due reports whether it may be tried again.
func (a *acquaintance) due(now time.Time) bool {
	return a.failed == 0 || now.Sub(a.prepared) >= retryPrepare<<min(a.failed-1, retryDoublings)
}

// forkability is whether a function may have a template.
type forkability int

const (
	unknown    forkability = iota
	whenLoaded             // but not once it has answered requests
	never
)

// visit is a request that may be repeated.
type visit struct{ host, path, matched, accept string }

// visitOf returns req as a visit, without what is private to its sender. Only a
// request that is safe to repeat is one.
func visitOf(req *http.Request) (visit, bool) {
	v := visit{req.Host, req.URL.Path, req.Header.Get("X-Matched-Path"), req.Header.Get("Accept")}
	return v, req.Method == http.MethodGet && len(v.host)+len(v.path)+len(v.matched)+len(v.accept) <= maxVisit
}

// guess is a visit for a function that had none: the path of its own name.
func guess(name string) visit {
	at := "/" + strings.Trim(name, "/")
	if base := path.Base(at); base == "index" {
		at = path.Dir(at)
	}
	if strings.ContainsAny(at, "[_") {
		at = "/"
	}
	return visit{"localhost", at, at, "text/html,*/*"}
}

// of returns what is known of a function, under the lock.
func (k *known) of(key lateen.FunctionKey) *acquaintance {
	if a := k.all[key]; a != nil {
		return a
	}
	if k.all == nil {
		k.all = map[lateen.FunctionKey]*acquaintance{}
	}
	if len(k.all) >= maxKnown {
		k.forgetOneLocked()
	}
	a := &acquaintance{}
	k.all[key] = a
	return a
}

// forgetOneLocked forgets a function that was not started for long: the longest
// of a few, since all would take too long.
func (k *known) forgetOneLocked() {
	var oldest lateen.FunctionKey
	looked := 0
	for key, a := range k.all {
		if a.busy || a.template != nil {
			continue
		}
		if oldest == "" || a.seen.Before(k.all[oldest].seen) {
			oldest = key
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(k.all, oldest)
}

// forget forgets the functions of a deployment.
func (k *known) forget(d lateen.DeploymentID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.all {
		if strings.HasPrefix(string(key), string(d)+"/") {
			delete(k.all, key)
		}
	}
}

// with runs f on what is known of a function.
func (k *known) with(key lateen.FunctionKey, f func(*acquaintance)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k.of(key))
}

// visited takes note of a request that a function answered.
func (k *known) visited(key lateen.FunctionKey, v visit) {
	k.with(key, func(a *acquaintance) {
		if len(a.visits) < maxVisits && !slices.Contains(a.visits, v) {
			a.visits = append(a.visits, v)
		}
	})
}
