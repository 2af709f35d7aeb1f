package daemon

import (
	"net/http"
	"net/http/pprof"
	"net/url"
	"runtime"
	"strconv"

	"github.com/lateen-dev/lateen"
)

const (
	maxProfile = 60 // seconds of the longest profile
	cpuProfile = 30 // seconds of a profile over time, if the request sets none
)

// Sampling rates while a profile of contention is taken; at other times the runtime
// records none.
const (
	mutexFraction = 10     // one contention event of so many
	blockRate     = 10_000 // nanoseconds of blocking for each sample
)

var (
	errDebugBusy = &lateen.Error{Code: lateen.Exhausted, Reason: "debug_busy", Message: "another profile or debug bundle is being taken", Hint: "try again in a minute"}
	errNoProfile = &lateen.Error{Code: lateen.NotFound, Reason: "profile_not_found", Message: "there is no such profile", Hint: "the profiles are profile (CPU), trace, heap, allocs, goroutine, threadcreate, block and mutex"}
)

// Profile answers GET /debug/pprof/{profile}, as [pprof] does. No listener serves the
// default mux of net/http, with which that package registers itself.
func (d *debugger) Profile(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("profile")
	handler, samples := profileOf(name)
	if handler == nil {
		return errNoProfile.With("there is no profile %q", name)
	}
	query := r.URL.Query()
	if samples && !query.Has("seconds") {
		query.Set("seconds", strconv.Itoa(cpuProfile))
	}
	if err := checkSeconds(query); err != nil {
		return err
	}
	if !d.busy.TryLock() {
		return errDebugBusy
	}
	defer d.busy.Unlock()
	defer recordContention(name)()
	target := *r.URL
	target.RawQuery = query.Encode()
	r = r.Clone(r.Context())
	r.URL = &target
	handler.ServeHTTP(w, r)
	return nil
}

// profileOf returns the handler of a profile, and whether the profile samples for a
// time; the other profiles do so only if the request sets seconds. The handler of the
// command line is left out: arguments may contain secrets.
func profileOf(name string) (handler http.Handler, samples bool) {
	switch name {
	case "profile":
		return http.HandlerFunc(pprof.Profile), true
	case "trace":
		return http.HandlerFunc(pprof.Trace), true
	case "block", "mutex":
		return pprof.Handler(name), true
	case "heap", "allocs", "goroutine", "threadcreate":
		return pprof.Handler(name), false
	}
	return nil, false
}

func checkSeconds(query url.Values) error {
	if !query.Has("seconds") {
		return nil
	}
	n, err := strconv.Atoi(query.Get("seconds"))
	if err != nil || n < 1 || n > maxProfile {
		return lateen.ErrInvalid.With("seconds is %q, but must be a number from 1 to %d", query.Get("seconds"), maxProfile)
	}
	return nil
}

// recordContention makes the runtime record the samples of a profile of contention,
// until the returned function is called. It does nothing for other profiles.
func recordContention(profile string) (stop func()) {
	switch profile {
	case "mutex":
		before := runtime.SetMutexProfileFraction(mutexFraction)
		return func() { runtime.SetMutexProfileFraction(before) }
	case "block":
		runtime.SetBlockProfileRate(blockRate)
		return func() { runtime.SetBlockProfileRate(0) }
	}
	return func() {}
}
