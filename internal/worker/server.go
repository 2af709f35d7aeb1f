package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/datacache"
)

// ServerOptions configures a [Server].
type ServerOptions struct {
	Backend  Backend
	Listener net.Listener // see [Listen]; Run closes it
	Events   *Events      // passed on to the client
	Usage    *Usage       // passed on to the client; may be nil
	// Expose permits functions to reach services of the platform. It may be called
	// again with the same services. nil ignores them.
	Expose  func(services ...netip.AddrPort)
	Data    *datacache.Remote // the data cache of the client; nil: there is none
	Version string            // of this program, for messages
	Metrics http.Handler      // answers /metrics; may be nil
	Debug   http.Handler      // answers with the debug bundle of this process; may be nil
	Drain   time.Duration     // time limit of [Server.Drain]; 0 is 30 seconds
	Grace   time.Duration     // time limit for the last events and responses after the end of Run's context; 0 is 2 seconds
	Log     *slog.Logger      // nil discards
}

// Server serves the functions of this process. Its clients are processes of the same user
// and of root, which are trusted.
type Server struct {
	o       ServerOptions
	process string
	http    *http.Server
	buffers sync.Pool     // buffers for the frames of bodies
	refuses chan struct{} // closed when Drain refuses invocations

	mu      sync.Mutex // guards the fields below
	running map[string]context.CancelCauseFunc
	drained chan struct{}           // closed when, after the beginning of Drain, no invocation runs; nil before
	early   [maxEarly]cancelRequest // cancellations whose invocations have not begun, or have ended
	next    int                     // index in early
	exposed map[netip.AddrPort]struct{}
	refused string // version of the last refused client
}

// maxEarly is the number of cancellations that are remembered in case that they have
// overtaken their invocations.
const maxEarly = 64

// NewServer returns a server.
func NewServer(o ServerOptions) *Server {
	o.Drain, o.Grace = cmp.Or(o.Drain, 30*time.Second), cmp.Or(o.Grace, 2*time.Second)
	if o.Usage == nil {
		o.Usage = new(Usage)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, process: rand.Text(), refuses: make(chan struct{}), running: map[string]context.CancelCauseFunc{}, exposed: map[netip.AddrPort]struct{}{}}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP2(true)
	s.http = &http.Server{
		Handler: s.routes(), Protocols: protocols, HTTP2: http2(), ReadHeaderTimeout: callTimeout,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelError),
	}
	return s
}

// Run serves until ctx ends. Then the backend and the meter must have ended, so that no
// further events and usage come: Run passes the remaining ones to the client, if there is one, and lets
// the last responses be read within the grace period.
func (s *Server) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(&guarded{s.o.Listener, s.o.Log}) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Grace)
	defer cancel()
	s.o.Usage.close()
	select {
	case <-s.o.Events.close():
	case <-grace.Done():
	}
	if s.o.Data != nil {
		s.o.Data.Close()
	}
	if err := s.http.Shutdown(grace); err != nil {
		s.o.Log.WarnContext(ctx, "responses cut off at the end of the grace period", "err", errors.Join(err, s.http.Close()))
	}
	<-ended
	return nil
}

func (s *Server) routes() http.Handler {
	mux, b := http.NewServeMux(), s.o.Backend
	mux.HandleFunc("POST "+pathOf(pathInvoke), s.invoke)
	handle(mux, pathCancel, s.cancel)
	handle(mux, pathEvents, s.events)
	handle(mux, pathUsage, func(ctx context.Context, r usageRequest) (any, error) { return s.o.Usage.next(ctx, r), nil })
	handle(mux, pathPrewarm, func(_ context.Context, spec lateen.FunctionSpec) (any, error) { b.Prewarm(spec); return nil, nil })
	handle(mux, pathPrepare, func(_ context.Context, spec lateen.FunctionSpec) (any, error) { b.Prepare(spec); return nil, nil })
	handle(mux, pathProduce, func(_ context.Context, p produceRequest) (any, error) {
		b.Produce(p.Project, p.Deployment, p.Functions)
		return nil, nil
	})
	handle(mux, pathForget, func(_ context.Context, d lateen.DeploymentID) (any, error) { b.Forget(d); return nil, nil })
	handle(mux, pathProvide, func(ctx context.Context, f lateen.Function) (any, error) { return nil, b.Provide(ctx, &f) })
	handle(mux, pathFunction, func(_ context.Context, p lateen.ProjectID) (any, error) { return b.Functions(p), nil })
	handle(mux, pathPrepared, func(_ context.Context, r preparedRequest) (any, error) { return b.Prepared(r.Key, r.Runtime), nil })
	if s.o.Data != nil {
		mux.HandleFunc("POST "+pathOf(pathData), s.data)
	}
	if s.o.Debug != nil {
		mux.Handle("POST "+pathOf(pathDebug), s.o.Debug)
	}
	if s.o.Metrics != nil {
		mux.Handle("GET /metrics", s.o.Metrics)
	}
	mux.HandleFunc("/", s.refuseProtocol)
	return s.identify(mux)
}

// reply is the body of the response to a call.
type reply struct {
	Value any    `json:"value,omitempty"`
	Fault *fault `json:"fault,omitempty"`
}

// handle adds a call, whose request and reply are JSON.
func handle[T any](mux *http.ServeMux, path string, f func(context.Context, T) (any, error)) {
	mux.HandleFunc("POST "+pathOf(path), func(w http.ResponseWriter, r *http.Request) {
		var in T
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMessage)).Decode(&in); err != nil {
			http.Error(w, "the request is malformed", http.StatusBadRequest)
			return
		}
		value, err := f(r.Context(), in)
		_ = json.NewEncoder(w).Encode(reply{value, faultOf(err)}) // the client may have gone
	})
}

// cancel ends an invocation, also one that begins a moment later.
func (s *Server) cancel(_ context.Context, r cancelRequest) (any, error) {
	r.Fault = cmp.Or(r.Fault, faultOf(context.Canceled))
	s.mu.Lock()
	defer s.mu.Unlock()
	if end := s.running[r.ID]; end != nil {
		end(r.Fault.err())
		return nil, nil
	}
	s.early[s.next%maxEarly] = r
	s.next++
	return nil, nil
}

// events waits for events after the last acknowledged one. It does not wait for a client
// that does not know this process: the client has to send its state.
func (s *Server) events(ctx context.Context, r eventsRequest) (any, error) {
	s.expose(r.Expose)
	if r.Process != s.process {
		events, dropped, _ := s.o.Events.take(0)
		return eventsResponse{Process: s.process, Version: s.o.Version, Events: events, Dropped: dropped, Stopping: isClosed(s.refuses)}, nil
	}
	events, dropped := s.o.Events.after(ctx, r.After, s.refuses)
	return eventsResponse{Process: s.process, Version: s.o.Version, Events: events, Dropped: dropped, Stopping: isClosed(s.refuses)}, nil
}

// expose permits the services that were not permitted before.
func (s *Server) expose(services []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range services {
		if _, known := s.exposed[at]; !known && s.o.Expose != nil {
			s.exposed[at] = struct{}{}
			s.o.Expose(at)
		}
	}
}
