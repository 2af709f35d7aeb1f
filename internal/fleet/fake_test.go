package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// fakeEngine is a programmable engine: starts take boot, and fail while failures is
// positive. It records breaches of the engine's contract by the fleet.
type fakeEngine struct {
	boot       time.Duration
	handle     func(req *http.Request) (*http.Response, error) // nil answers "ok"
	handleOf   func(i *fakeInstance) time.Duration             // time until the answer "ok"; nil is no time
	failWith   error
	freezes    bool          // instances can be frozen
	thawTime   time.Duration // duration of a thaw
	idleReport time.Duration // delay between the end of a response and the end of its request in Busy
	usage      func(i *fakeInstance) engine.Usage
	prepare    func(ctx context.Context, spec lateen.FunctionSpec) error

	mu           sync.Mutex
	failures     int
	thawFailures int // remaining thaws that fail
	instances    []*fakeInstance
	starts       int
	breaches     []string // breaches of the contract
}

func (e *fakeEngine) Start(ctx context.Context, s lateen.FunctionSpec) (engine.Instance, error) {
	e.mu.Lock()
	e.starts++
	fail := e.failures > 0
	if fail {
		e.failures--
	}
	i := &fakeInstance{engine: e, spec: s, id: lateen.InstanceID(fmt.Sprintf("ins_%d", e.starts)), done: make(chan struct{})}
	e.mu.Unlock()
	select {
	case <-time.After(e.boot):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if fail {
		return nil, e.failWith
	}
	e.mu.Lock()
	e.instances = append(e.instances, i)
	e.mu.Unlock()
	return i, nil
}

func (e *fakeEngine) Prepare(ctx context.Context, s lateen.FunctionSpec) error {
	if e.prepare == nil {
		return nil
	}
	return e.prepare(ctx, s)
}

func (e *fakeEngine) Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation {
	return &lateen.Preparation{Archive: true, NoTemplate: string(key) + " of " + runtime}
}

func (e *fakeEngine) counts() (starts, running int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.instances {
		if !i.exited() {
			running++
		}
	}
	return e.starts, running
}

// of counts the running instances of a project.
func (e *fakeEngine) of(project lateen.ProjectID) (running int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.instances {
		if i.spec.Project == project && !i.exited() {
			running++
		}
	}
	return running
}

// served counts the requests that instances of a project have taken.
func (e *fakeEngine) served(project lateen.ProjectID) (n int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.instances {
		if i.spec.Project == project {
			n += i.served.Load()
		}
	}
	return n
}

// last returns the newest instance.
func (e *fakeEngine) last() *fakeInstance {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.instances[len(e.instances)-1]
}

func (e *fakeEngine) breach(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.breaches = append(e.breaches, fmt.Sprintf(format, args...))
}

type fakeInstance struct {
	engine   *fakeEngine
	spec     lateen.FunctionSpec
	id       lateen.InstanceID
	busy     atomic.Int64 // work after responses
	inFlight atomic.Int64
	served   atomic.Int64
	once     sync.Once
	done     chan struct{}

	mu        sync.Mutex
	frozen    bool
	reclaimed int
}

func (i *fakeInstance) ID() lateen.InstanceID { return i.id }

func (i *fakeInstance) Started() engine.Phases {
	return engine.Phases{Kind: lateen.StartBlank, Claim: i.engine.boot}
}

func (i *fakeInstance) Busy() int             { return int(i.busy.Load() + i.inFlight.Load()) }
func (i *fakeInstance) Done() <-chan struct{} { return i.done }

func (i *fakeInstance) Usage() engine.Usage {
	if i.engine.usage == nil {
		return engine.Usage{}
	}
	return i.engine.usage(i)
}

func (i *fakeInstance) Freeze() error {
	if !i.engine.freezes {
		return errors.ErrUnsupported
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.Busy() > 0 {
		i.engine.breach("%s is frozen while it works", i.id)
	}
	i.frozen = true
	return nil
}

func (i *fakeInstance) Thaw() error {
	<-time.After(i.engine.thawTime)
	i.engine.mu.Lock()
	fail := i.engine.thawFailures > 0
	if fail {
		i.engine.thawFailures--
	}
	i.engine.mu.Unlock()
	if fail {
		return errors.New("stuck")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.frozen = false
	return nil
}

func (i *fakeInstance) Reclaim() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.engine.freezes {
		return errors.ErrUnsupported
	}
	i.reclaimed++
	return nil
}

func (i *fakeInstance) isFrozen() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.frozen
}

func (i *fakeInstance) Stop(ctx context.Context) {
	if n := i.inFlight.Load(); n > 0 && ctx.Err() == nil && !i.exited() {
		i.engine.breach("%s is stopped with %d requests", i.id, n)
	}
	if i.isFrozen() {
		i.engine.breach("%s is stopped while it is frozen", i.id)
	}
	i.exit()
}

// exit ends the process.
func (i *fakeInstance) exit() { i.once.Do(func() { close(i.done) }) }

func (i *fakeInstance) exited() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

func (i *fakeInstance) RoundTrip(req *http.Request) (*http.Response, error) {
	if i.exited() {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, engine.ErrNotTaken
	}
	i.inFlight.Add(1)
	if i.isFrozen() {
		i.engine.breach("%s is asked while it is frozen", i.id)
	}
	i.served.Add(1)
	resp, err := answer("ok"), error(nil)
	if i.engine.handleOf != nil {
		<-time.After(i.engine.handleOf(i))
	}
	if i.engine.handle != nil {
		resp, err = i.engine.handle(req)
	}
	if err != nil {
		i.inFlight.Add(-1)
		return nil, err
	}
	resp.Body = &fakeBody{ReadCloser: resp.Body, instance: i}
	return resp, nil
}

// fakeBody ends a request of an instance when it is closed.
type fakeBody struct {
	io.ReadCloser

	instance *fakeInstance
	once     sync.Once
}

func (b *fakeBody) Close() error {
	b.once.Do(func() {
		ended := func() { b.instance.inFlight.Add(-1) }
		if d := b.instance.engine.idleReport; d > 0 {
			time.AfterFunc(d, ended)
		} else {
			ended()
		}
	})
	return b.ReadCloser.Close()
}

func answer(text string) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}
}

// sleeping answers after d, or fails if the request is canceled before.
func sleeping(d time.Duration) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return answer("ok"), nil
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
}

// harness is a running fleet on synthetic time.
type harness struct {
	*fleet.Fleet

	t    *testing.T
	stop func() // stops the fleet and waits for its end; t.Cleanup calls it, too
}

func run(t *testing.T, o fleet.Options) *harness {
	t.Helper()
	f := fleet.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if e, ok := o.Engine.(*fakeEngine); ok {
			for _, breach := range e.breaches {
				t.Error(breach)
			}
			if _, running := e.counts(); running > 0 {
				t.Errorf("%d instances outlive the fleet", running)
			}
		}
	})
	t.Cleanup(stop)
	return &harness{Fleet: f, t: t, stop: stop}
}

func spec(name string) lateen.FunctionSpec { return specOf("prj_1", "dpl_1", name) }

func specOf(project lateen.ProjectID, d lateen.DeploymentID, name string) lateen.FunctionSpec {
	return lateen.FunctionSpec{Key: lateen.NewFunctionKey(d, name), Project: project, Deployment: d, Name: name}
}

// call makes a request and reads the whole response.
func (h *harness) call(ctx context.Context, s lateen.FunctionSpec) (inv lateen.Invocation, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://site/", strings.NewReader("body"))
	if err != nil {
		h.t.Error(err)
	}
	resp, err := h.Invoke(ctx, s, req, &inv)
	if err != nil {
		return inv, "", err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	return inv, string(b), err
}

// ask makes a request that must succeed.
func (h *harness) ask(s lateen.FunctionSpec) lateen.Invocation {
	h.t.Helper()
	inv, text, err := h.call(h.t.Context(), s)
	if err != nil || text != "ok" {
		h.t.Fatalf("%s: %q, %v", s.Name, text, err)
	}
	return inv
}

// burst makes n concurrent calls and returns their errors.
func (h *harness) burst(n int, s lateen.FunctionSpec) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { _, _, errs[i] = h.call(h.t.Context(), s) })
	}
	all.Wait()
	return errs
}

func wantNoErrors(t *testing.T, errs []error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatalf("a request failed: %v", err)
		}
	}
}
