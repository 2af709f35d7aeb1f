// Package api is the HTTP face of control: the REST API that the vercel CLI
// speaks, and Lateen's own needs in the same terms.
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
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/observe"
	"github.com/lateen-dev/lateen/internal/share"
)

// Logs are the requests that deployments answered and the lines they wrote.
type Logs interface {
	// Query returns a page of entries, newest first, and whether there are more.
	Query(ctx context.Context, q observe.Query) ([]observe.Entry, bool, error)
	// Tail yields entries after q.After and then those that come, until ctx ends.
	Tail(ctx context.Context, q observe.Query) iter.Seq[observe.Entry]
	// Latest returns the cursor, for q.After, after everything that is recorded.
	Latest() string
}

// Options of an [API]. Fields without a stated zero are required.
type Options struct {
	Control *control.Control
	Logs    Logs
	// Functions tells what functions are doing; nil: that they all idle.
	Functions Functions
	Log       *slog.Logger
	Version   string // of this build, as /healthz tells it; "" is dev
	Uploads   int    // files taken in at once; 0 is 64
	Deploys   int    // requests for deployments in progress at once; 0 is 8
	// Stopping is closed when the platform begins to stop: what follows a log
	// ends then, where other requests are let finish. nil is never.
	Stopping <-chan struct{}
	Now      func() time.Time // nil is time.Now
	// KeepAlive is the time between the empty lines that show the reader of a
	// followed log that its connection is alive, and after which the reader's right
	// to read it is looked at again; 0 is 15 seconds.
	KeepAlive time.Duration
}

// API is an [http.Handler].
type API struct {
	Options

	mux                *http.ServeMux
	uploads            *share.Places[string] // of uploads in progress, by team and token
	deploys            *share.Places[string] // of deployments that are being accepted, likewise
	readers, followers *share.Places[string] // of the log, likewise
	bodies             *bodies               // of requests for deployments
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
	a := &API{Options: o, mux: http.NewServeMux(), bodies: newBodies(int64(o.Deploys) * deployBytes)}
	a.uploads, a.deploys = share.NewPlaces[string](o.Uploads, queued), share.NewPlaces[string](o.Deploys, queued)
	a.readers, a.followers = share.NewPlaces[string](logReaders, queued), share.NewPlaces[string](logFollowers, 0)
	for _, row := range routes() {
		for _, pattern := range row.patterns() {
			a.mux.Handle(row.Method+" "+pattern, a.serve(row))
		}
	}
	a.mux.Handle("/", a.serve(route{Needs: lateen.Anonymous, handler: handler{serve: unknownRoute}}))
	return a, nil
}

// The version in a path says what its client was written for, and "now" that
// this was long ago. Neither changes what is asked.
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

// serve answers the requests of a row: it checks who asks, bounds the body and
// writes what the row's handler returns as an error.
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

// answer has the handler of row answer r, once r has a place where the row needs one.
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

// authenticate returns the context of a request with its principal, if that has
// the permission that the route needs. A route without one is refused.
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

// lost reports whether the caller of a request that is being answered may no longer
// make it: the token or the membership ended, or the role is another.
func (a *API) lost(r *http.Request) bool {
	need, _ := r.Context().Value(needKey{}).(lateen.Permission)
	ctx, err := a.authenticate(r, need)
	switch lateen.CodeOf(err) {
	case "":
		return lateen.PrincipalFrom(ctx).Team != lateen.PrincipalFrom(r.Context()).Team
	case lateen.Unauthenticated, lateen.Forbidden, lateen.NotFound:
		return true
	default:
		return false // the store does not say
	}
}

// unknownRoute answers what no row does.
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
		return lateen.ErrMethod.With("%s can't be asked of %s; %s can", r.Method, r.URL.Path, strings.Join(allowed, ", "))
	}
	if r.URL.Path == "/" && accept.Type(r.Header, "text/html") > accept.Type(r.Header, "application/json") {
		return a.welcome(w, r)
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return lateen.ErrNotFound.With("there is no %s here", path).WithHint("GET /openapi.json lists what there is")
}
