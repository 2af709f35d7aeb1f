// Package api serves control over HTTP: the REST API that the vercel CLI uses, and
// Lateen's extensions in the same style.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/observe"
	"github.com/lateen-dev/lateen/internal/share"
)

// Logs are the request logs and the function logs of deployments.
type Logs interface {
	// Query returns a page of entries, newest first, and whether there are more
	// entries.
	Query(ctx context.Context, q observe.Query) ([]observe.Entry, bool, error)
	// Tail yields the entries after q.After and then new entries, until ctx ends.
	Tail(ctx context.Context, q observe.Query) iter.Seq[observe.Entry]
	// Latest returns the cursor after all recorded entries, for q.After.
	Latest() string
}

// Options of an [API]. Fields without a stated zero are required.
type Options struct {
	Control *control.Control
	Logs    Logs
	// Functions reports the current state of functions; nil: all are idle.
	Functions      Functions
	FunctionLimits FunctionLimits
	Debug          Debugger // answers requests below /debug; nil: there are none
	Log            *slog.Logger
	Version        string // version of this build, as in /healthz; "" is dev
	Uploads        int    // concurrent file uploads; 0 is 64
	Deploys        int    // concurrent requests for deployments; 0 is 8
	// Stopping is closed when the platform begins to stop. Followed logs end then,
	// while other requests may finish. nil is never closed.
	Stopping <-chan struct{}
	Now      func() time.Time // nil is time.Now
	// KeepAlive is the interval of the empty lines that keep the connection of a
	// followed log alive, and of the checks that its reader is still authorized; 0
	// is 15 seconds.
	KeepAlive time.Duration
}

// API is an [http.Handler].
type API struct {
	Options

	mux                *http.ServeMux
	uploads            *share.Places[string] // concurrent uploads, shared by team and token
	deploys            *share.Places[string] // deployments being accepted, shared likewise
	readers, followers *share.Places[string] // concurrent requests for logs, shared likewise
	calls, manifests   *share.Places[string] // requests in progress, and those that read a whole manifest, shared likewise
	document           func() []byte         // the description of the API
	bodies             *bodies               // request bodies of deployments
	guesses            guesses
}

// New returns the API over a control.
func New(o Options) (*API, error) {
	if o.Control == nil || o.Logs == nil || o.Log == nil {
		return nil, errors.New("api: a required option is missing")
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Uploads == 0 {
		o.Uploads = 64
	}
	if o.Deploys == 0 {
		o.Deploys = 8
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = 15 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &API{Options: o, mux: http.NewServeMux(), bodies: newBodies(int64(o.Deploys) * deployBytes), document: sync.OnceValue(document)}
	a.uploads, a.deploys = share.NewPlaces[string](o.Uploads, queued), share.NewPlaces[string](o.Deploys, queued)
	a.readers, a.followers = share.NewPlaces[string](logReaders, queued), share.NewPlaces[string](logFollowers, 0)
	a.calls, a.manifests = share.NewPlaces[string](callsAtOnce, queued), share.NewPlaces[string](manifestsAtOnce, queued)
	for _, row := range routes() {
		for _, pattern := range row.patterns() {
			a.mux.Handle(row.Method+" "+pattern, a.serve(row))
		}
	}
	a.mux.Handle("/", a.serve(route{Needs: lateen.Anonymous, handler: handler{serve: unknownRoute}}))
	return a, nil
}

// A path starts with the version for which its client was written, and possibly
// "now", a part of old paths. Neither changes the meaning of the path.
var versionPattern = regexp.MustCompile(`^(?:/v[0-9]{1,2})?(?:/now)?(/.*)$`)

// unversioned returns a path without its version.
func unversioned(path string) string { return versionPattern.ReplaceAllString(path, "$1") }

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	id := lateen.RequestIDFrom(ctx)
	if id == "" {
		id = lateen.NewID[lateen.RequestID]("req_", a.Now())
		ctx = lateen.WithRequestID(ctx, id)
	}
	w.Header().Set("X-Vercel-Id", string(id))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	r = r.WithContext(ctx)
	url := *r.URL
	url.Path, url.RawPath = unversioned(url.Path), unversioned(url.RawPath)
	r.URL = &url
	out := &reply{ResponseWriter: w}
	defer a.recover(out, r)
	a.mux.ServeHTTP(out, r)
}

// recover answers a request whose handler panicked.
func (a *API) recover(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	a.fail(w, r, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
}

// serve returns the handler of a row: it authenticates the caller, limits the body
// and writes the error of the row's handler.
func (a *API) serve(row route) http.Handler {
	limit := row.MaxBody
	if limit == 0 {
		limit = 1 << 20
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := a.authenticate(r, row.Needs)
		if errors.Is(err, lateen.ErrTokenInvalid) {
			err = a.refuse(r, err)
		}
		if err == nil {
			r = r.WithContext(ctx)
			r.Body = newPace(w, r)
			if limit > 0 {
				r.Body = http.MaxBytesReader(w, r.Body, limit)
			}
			err = a.answer(row, w, r)
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

// answer calls the handler of row, after r has a place if the row needs one.
func (a *API) answer(row route, w http.ResponseWriter, r *http.Request) error {
	if row.Needs == lateen.LogRead {
		release, err := a.admitReader(r)
		if err != nil {
			return err
		}
		defer release()
	}
	return row.serve(a, w, r)
}

// authenticate returns the context of a request with its principal, if the principal
// has the permission that the route needs. It refuses a route without a permission.
func (a *API) authenticate(r *http.Request, need lateen.Permission) (context.Context, error) {
	ctx := lateen.WithClient(r.Context(), clientOf(r))
	if need == lateen.Anonymous {
		return ctx, nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	team := ""
	if need.NeedsTeam() {
		query := r.URL.Query()
		team = cmp.Or(r.PathValue("team"), query.Get("teamId"), query.Get("slug"))
	}
	p, err := a.Control.Authenticate(ctx, strings.TrimSpace(token), team)
	switch {
	case err != nil:
		return ctx, err
	case p.Team == "" && need.NeedsTeam():
		return ctx, lateen.ErrTeamNotFound
	}
	return context.WithValue(lateen.WithPrincipal(ctx, p), needKey{}, need), p.May(need)
}

// needKey is the key of the permission that the route of a request needs.
type needKey struct{}

// lost reports whether the caller of a request in progress is no longer authorized
// for it: the token or the membership was removed, or the role was changed.
func (a *API) lost(r *http.Request) bool {
	need, _ := r.Context().Value(needKey{}).(lateen.Permission)
	ctx, err := a.authenticate(r, need)
	switch lateen.CodeOf(err) {
	case "":
		return lateen.PrincipalFrom(ctx).Team != lateen.PrincipalFrom(r.Context()).Team
	case lateen.Unauthenticated, lateen.Forbidden, lateen.NotFound:
		return true
	default:
		return false // the store is unavailable
	}
}

// unknownRoute answers a request that matches no row.
func unknownRoute(a *API, w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return lateen.ErrMethod.With("method %s not allowed on %s (allowed: %s)", r.Method, r.URL.Path, strings.Join(allowed, ", "))
	}
	if r.URL.Path == "/" && accept.Type(r.Header, "text/html") > accept.Type(r.Header, "application/json") {
		return a.welcome(w, r)
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return lateen.ErrNotFound.With("the API has no path %s", path).WithHint("see GET /openapi.json for all paths")
}
