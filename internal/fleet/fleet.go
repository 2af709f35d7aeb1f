// Package fleet leases an instance for an invocation: it finds one with room,
// starts one where waiting would not do, holds requests meanwhile, and stops
// what is idle.
package fleet

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// Options says what a fleet may use.
type Options struct {
	Engine engine.Engine
	Log    *slog.Logger // nil discards

	// Concurrency is how many requests one instance takes at once where the
	// function does not say; 0 is 64.
	Concurrency int
	// Queue is how many requests may wait for one function; 0 is 1000. Past it
	// the answer is [lateen.ErrFunctionThrottled] at once.
	Queue int
	// PerFunction bounds the instances of one function; 0 is 16.
	PerFunction int
	// Total bounds all instances together; 0 is 128. At the bound the one that
	// idled longest makes room.
	Total int
	// KeepAlive is how long an idle instance stays; 0 is 5 minutes.
	KeepAlive time.Duration
	// StartTimeout bounds one attempt to start an instance; 0 is 30 seconds.
	StartTimeout time.Duration
	// Grace is how long requests in flight may go on when their instance has
	// to go; 0 is 30 seconds.
	Grace time.Duration
	// Duration is the time an invocation may take where the function does not
	// say; 0 is 300 seconds. MaxDuration is the most it may ask for; 0 is 3600
	// seconds.
	Duration, MaxDuration time.Duration
}

// Fleet is every instance there is, by function.
type Fleet struct {
	o      Options
	work   sync.WaitGroup // starts and stops under way
	closed chan struct{}  // closed when Run's context ends

	mu      sync.Mutex // guards below
	pools   map[lateen.FunctionKey]*pool
	total   int  // instances running, starting or leaving
	starved bool // a pool could not grow because of the total
	ended   bool
}

// New returns a fleet without instances.
func New(o Options) *Fleet {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.Concurrency, 64)
	setDefault(&o.Queue, 1000)
	setDefault(&o.PerFunction, 16)
	setDefault(&o.Total, 128)
	setDefault(&o.KeepAlive, 5*time.Minute)
	setDefault(&o.StartTimeout, 30*time.Second)
	setDefault(&o.Grace, 30*time.Second)
	setDefault(&o.Duration, 300*time.Second)
	setDefault(&o.MaxDuration, time.Hour)
	return &Fleet{o: o, closed: make(chan struct{}), pools: map[lateen.FunctionKey]*pool{}}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Run keeps the fleet until ctx ends, then stops every instance and returns
// once all are gone.
func (f *Fleet) Run(ctx context.Context) error {
	<-ctx.Done()
	f.mu.Lock()
	f.ended = true
	close(f.closed)
	for _, p := range f.pools {
		p.refuseLocked(errEnding)
		for _, m := range p.members {
			f.retireLocked(m)
		}
	}
	f.mu.Unlock()
	f.work.Wait()
	return nil
}

// Invoke sends req to an instance of spec, started if need be, and returns its
// response as soon as the header is there. The caller closes the body; until
// then the invocation counts as under way. Where the time went is told in inv.
//
// Errors: [lateen.ErrFunctionThrottled] when too many wait,
// [lateen.ErrFunctionTimeout] past the function's maxDuration (a body cut off
// by it fails with the same), [lateen.ErrFunctionStart] when the platform
// cannot start an instance, those of [engine.Instance], and the context's cause.
func (f *Fleet) Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	inv.Function = spec.Name
	limit := f.duration(spec.Function.MaxDuration)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, lateen.ErrFunctionTimeout.With("the function did not answer within its %s", limit))
	req = req.WithContext(ctx)
	if req.Body != nil {
		req.Body = io.NopCloser(req.Body) // it outlives an attempt that was not taken
	}
	for range tries {
		l, err := f.lease(ctx, spec, inv)
		if err != nil {
			cancel()
			return nil, err
		}
		sent := time.Now()
		resp, err := l.member.instance.RoundTrip(req)
		inv.Handler = time.Since(sent)
		if err == nil {
			resp.Body = &leasedBody{ReadCloser: resp.Body, ctx: ctx, done: func() { l.release(overdue(ctx)); cancel() }}
			return resp, nil
		}
		notTaken := errors.Is(err, engine.ErrNotTaken)
		l.release(overdue(ctx) || notTaken)
		if !notTaken || ctx.Err() != nil {
			err = causeOf(ctx, err)
			cancel()
			return nil, err
		}
		inv.Retried = true
	}
	cancel()
	return nil, lateen.ErrFunctionNoResponse.With("%d instances of %s ended before they took the request", tries, spec.Name)
}

// tries bounds how often a request is offered to instances that turn out to be
// gone: one that idled out in the same moment, one that died, one more.
const tries = 3

var errEnding = lateen.ErrFunctionStart.With("the platform is shutting down")

// Forget stops every instance of a deployment, which is deleted, once the
// requests are done that it has or that wait for one.
func (f *Fleet) Forget(d lateen.DeploymentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pools {
		if p.spec.Deployment != d {
			continue
		}
		p.forgotten = true
		for _, m := range p.members {
			f.retireLocked(m)
		}
		f.dropLocked(p)
	}
}

// Stats counts the instances and what waits for them.
type Stats struct {
	Functions int // that have an instance, running or starting
	Running   int
	Starting  int
	InFlight  int // invocations under way
	Waiting   int
}

// Stats returns the state of the fleet now.
func (f *Fleet) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	var s Stats
	for _, p := range f.pools {
		if len(p.members)+p.starting > 0 {
			s.Functions++
		}
		s.Running += len(p.members)
		s.Starting += p.starting
		s.Waiting += len(p.waiting)
		for _, m := range p.members {
			s.InFlight += m.inFlight
		}
	}
	return s
}

// duration turns a function's maxDuration into the time an invocation has.
func (f *Fleet) duration(seconds int) time.Duration {
	switch {
	case seconds < 0:
		return f.o.MaxDuration
	case seconds == 0:
		return min(f.o.Duration, f.o.MaxDuration)
	default:
		return min(time.Duration(seconds)*time.Second, f.o.MaxDuration)
	}
}

// overdue reports whether ctx ended because the function took too long.
func overdue(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), lateen.ErrFunctionTimeout)
}

// causeOf returns why ctx ended, if it did, and err otherwise.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// leasedBody is a response's body that ends the lease when it is closed.
type leasedBody struct {
	io.ReadCloser

	ctx  context.Context //nolint:containedctx // the body lives exactly as long as the invocation
	once sync.Once
	done func()
}

// Read names a function that took too long rather than the cut connection.
func (b *leasedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = causeOf(b.ctx, err)
	}
	return n, err
}

// Write sends to an instance that switched protocols.
func (b *leasedBody) Write(p []byte) (int, error) {
	w, ok := b.ReadCloser.(io.Writer)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return w.Write(p)
}

// Close ends the lease, however often it is called.
func (b *leasedBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.done)
	return err
}
