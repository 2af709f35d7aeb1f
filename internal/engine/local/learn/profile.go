package learn

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
	all map[lateen.FunctionKey]*Profile
}

// Profile holds the facts that the engine has learned about one function.
type Profile struct {
	Cost       time.Duration     // CPU time of the shortest start without a template, to its first response; 0: unknown
	Samples    []instance.Sample // sample requests that warm the function up
	lastStart  time.Time         // time of the last start
	Preparing  bool              // preparation in progress or queued
	Trained    bool              // the code cache was made with sample requests, or the function allows none
	LastTried  time.Time         // time of the last preparation
	Failures   int               // number of failed preparations in a row
	lastError  string            // reason for the last failure
	Forkable   Forkability
	Unforkable string // reason for Never
}

// record records the result of a preparation.
func (a *Profile) record(err error) {
	a.Preparing, a.LastTried, a.lastError = false, time.Now(), reason(err)
	if err == nil {
		a.Failures = 0
	} else {
		a.Failures++
	}
}

// due reports whether the backoff after failed preparations has passed.
func (a *Profile) due(now time.Time) bool {
	return a.Failures == 0 || now.Sub(a.LastTried) >= retryPrepare<<min(a.Failures-1, retryDoublings)
}

// Forkability tells at which point a function may become a template.
type Forkability int

// Values of Forkability.
const (
	Unknown    Forkability = iota // it has not been tried, or it may at any point
	WhenLoaded                    // only before it has answered requests
	Never
)

// entryLocked returns the entry of a function; the caller holds the lock.
func (k *profiles) entryLocked(key lateen.FunctionKey) *Profile {
	if a := k.all[key]; a != nil {
		return a
	}
	if k.all == nil {
		k.all = map[lateen.FunctionKey]*Profile{}
	}
	if len(k.all) >= maxProfiles {
		k.evictLocked()
	}
	a := &Profile{}
	k.all[key] = a
	return a
}

// evictLocked forgets the function with the oldest start among a few, since a
// search of all would take too long.
func (k *profiles) evictLocked() {
	var oldest lateen.FunctionKey
	looked := 0
	for key, a := range k.all {
		if a.Preparing {
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
func (k *profiles) with(key lateen.FunctionKey, f func(*Profile)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k.entryLocked(key))
}

// addSample adds a sample request that a function has answered.
func (k *profiles) addSample(key lateen.FunctionKey, v instance.Sample) {
	k.with(key, func(a *Profile) {
		if len(a.Samples) < maxSamples && !slices.Contains(a.Samples, v) {
			a.Samples = append(a.Samples, v)
		}
	})
}
