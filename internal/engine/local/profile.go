package local

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
)

const (
	maxProfiles = 16384 // maximum number of remembered functions
	maxSamples  = 4     // maximum sample requests of each function
)

// profiles holds the facts that the engine has learned about functions.
type profiles struct {
	mu  sync.Mutex // guards the fields below and the values of all
	all map[lateen.FunctionKey]*functionProfile
}

// functionProfile holds the facts that the engine has learned about one function.
type functionProfile struct {
	cost       time.Duration     // CPU time of the shortest start without a template, to its first response; 0: unknown
	samples    []instance.Sample // sample requests that warm the function up
	lastStart  time.Time         // time of the last start
	preparing  bool              // preparation in progress or queued
	trained    bool              // the code cache was made with sample requests, or the function allows none
	lastTried  time.Time         // time of the last preparation
	failures   int               // number of failed preparations in a row
	lastError  string            // reason for the last failure
	forkable   forkability
	unforkable string // reason for never
}

// record records the result of a preparation.
func (a *functionProfile) record(err error) {
	a.preparing, a.lastTried, a.lastError = false, time.Now(), reason(err)
	if err == nil {
		a.failures = 0
	} else {
		a.failures++
	}
}

// due reports whether the backoff after failed preparations has passed.
func (a *functionProfile) due(now time.Time) bool {
	return a.failures == 0 || now.Sub(a.lastTried) >= retryPrepare<<min(a.failures-1, retryDoublings)
}

// forkability tells at which point a function may become a template.
type forkability int

const (
	unknown    forkability = iota
	whenLoaded             // only before it has answered requests
	never
)

// entryLocked returns the entry of a function; the caller holds the lock.
func (k *profiles) entryLocked(key lateen.FunctionKey) *functionProfile {
	if a := k.all[key]; a != nil {
		return a
	}
	if k.all == nil {
		k.all = map[lateen.FunctionKey]*functionProfile{}
	}
	if len(k.all) >= maxProfiles {
		k.evictLocked()
	}
	a := &functionProfile{}
	k.all[key] = a
	return a
}

// evictLocked forgets the function with the oldest start among a few, since a
// search of all would take too long.
func (k *profiles) evictLocked() {
	var oldest lateen.FunctionKey
	looked := 0
	for key, a := range k.all {
		if a.preparing {
			continue
		}
		if oldest == "" || a.lastStart.Before(k.all[oldest].lastStart) {
			oldest = key
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(k.all, oldest)
}

// forget forgets the functions of a deployment.
func (k *profiles) forget(d lateen.DeploymentID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.all {
		if strings.HasPrefix(string(key), string(d)+"/") {
			delete(k.all, key)
		}
	}
}

// with runs f on the entry of a function, under the lock.
func (k *profiles) with(key lateen.FunctionKey, f func(*functionProfile)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k.entryLocked(key))
}

// addSample adds a sample request that a function has answered.
func (k *profiles) addSample(key lateen.FunctionKey, v instance.Sample) {
	k.with(key, func(a *functionProfile) {
		if len(a.samples) < maxSamples && !slices.Contains(a.samples, v) {
			a.samples = append(a.samples, v)
		}
	})
}
