package wasi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

const pageSize = 64 << 10 // of WebAssembly

// instance is a compiled module that takes requests: an [engine.Instance].
// Between requests it is nothing but that.
type instance struct {
	engine *Engine
	module *module
	spec   lateen.FunctionSpec
	tree   string // directory
	limit  uint64 // bytes of memory of a request
	id     lateen.InstanceID
	phases engine.Phases

	running context.Context //nolint:containedctx // it ends with the instance
	cut     context.CancelCauseFunc
	done    chan struct{} // closed once it takes no more requests
	idle    chan struct{} // closed once it takes none and has none left

	mu     sync.Mutex // guards below
	busy   int
	over   bool
	clocks map[*exchange]clock // of the threads that run modules now
	memory int64               // of the requests under way
	used   engine.Usage
}

// fits reports a module that wants more memory than it may have.
func (i *instance) fits() error {
	for _, memory := range i.module.compiled.ExportedMemories() {
		if uint64(memory.Min())*pageSize > i.limit {
			return lateen.ErrFunctionFailed.With("the function's module begins with %d MiB of memory and may use %d", memory.Min()/16, i.limit>>20)
		}
	}
	return nil
}

// ID returns the instance's id.
func (i *instance) ID() lateen.InstanceID { return i.id }

// Started says how it came to be.
func (i *instance) Started() engine.Phases { return i.phases }

// Done is closed once it takes no more requests.
func (i *instance) Done() <-chan struct{} { return i.done }

// Busy is the number of requests that have not ended.
func (i *instance) Busy() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.busy
}

// Usage is what its requests have used.
func (i *instance) Usage() engine.Usage {
	i.mu.Lock()
	defer i.mu.Unlock()
	u := i.used
	u.Memory = i.memory
	for _, c := range i.clocks {
		u.CPU += c.now()
	}
	return u
}

// clockIn begins to count the processor time of this thread, which x has from
// now on; clockOut ends that.
func (i *instance) clockIn(x *exchange) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.clocks == nil {
		i.clocks = map[*exchange]clock{}
	}
	i.clocks[x] = threadClock()
}

func (i *instance) clockOut(x *exchange) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.used.CPU += i.clocks[x].now()
	delete(i.clocks, x)
}

// Freeze has nothing to freeze: an instance without requests does nothing.
func (*instance) Freeze() error { return errors.ErrUnsupported }

// Thaw does nothing.
func (*instance) Thaw() error { return nil }

// Reclaim has nothing to push out.
func (*instance) Reclaim() error { return errors.ErrUnsupported }

// Stop ends the instance; see [engine.Instance].
func (i *instance) Stop(ctx context.Context) {
	i.mu.Lock()
	first := !i.over
	i.over = true
	if first {
		close(i.done)
		if i.busy == 0 {
			close(i.idle)
		}
	}
	i.mu.Unlock()
	select {
	case <-i.idle:
	case <-ctx.Done():
		i.cut(errStopped)
		<-i.idle
	}
	if first {
		i.engine.release(moduleKey{i.spec.Function.Tree, i.spec.Function.Handler})
	}
}

var errStopped = errors.New("the instance was stopped")

// RoundTrip answers a request; see [engine.Instance].
func (i *instance) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := context.Cause(req.Context()); err != nil {
		return nil, errors.Join(err, closeBody(req))
	}
	i.mu.Lock()
	if i.over {
		i.mu.Unlock()
		return nil, errors.Join(engine.ErrNotTaken, closeBody(req))
	}
	i.busy++
	i.mu.Unlock()
	x := newExchange(i, req)
	if err := i.engine.attend(x.run); err != nil {
		i.end()
		x.cancel(err)
		return nil, errors.Join(engine.ErrNotTaken, closeBody(req))
	}
	return x.response()
}

// end takes note of the end of a request.
func (i *instance) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.busy--; i.over && i.busy == 0 {
		close(i.idle)
	}
}

// grow takes note of how much more memory requests use.
func (i *instance) grow(by int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.memory += by
	i.used.Peak = max(i.used.Peak, i.memory)
}

// say writes a line of a request.
func (i *instance) say(request lateen.RequestID, level, source, text string) {
	i.engine.o.Logs.Log(lateen.LogLine{
		Time: lateen.MillisOf(time.Now()), Request: request, Project: i.spec.Project, Deployment: i.spec.Deployment, Function: i.spec.Name,
		Instance: i.id, Level: level, Source: source, Text: text,
	})
}

func (i *instance) memoryExceeded() error {
	return fmt.Errorf("it used more than %d MiB of memory", i.limit>>20)
}

func closeBody(req *http.Request) error {
	if req.Body == nil {
		return nil
	}
	return req.Body.Close()
}
