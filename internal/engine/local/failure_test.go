package local

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
)

// TestAModuleThatHangsHasNoEventLoop freezes the process of a module, so that it
// answers nothing, and reads what its log says of that.
func TestAModuleThatHangsHasNoEventLoop(t *testing.T) {
	r := newRig(t)
	started, _ := beginModule(t, r, moduleSpec(t, r))
	i := started.(*instance)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan error, 1)
	req := to(t, http.MethodGet, "/sleep", nil)
	go func() {
		_, err := i.RoundTrip(req.WithContext(ctx))
		ended <- err
	}()
	r.awaitLine(t, i, "sleeping")
	if err := i.process.Freeze(); err != nil {
		t.Skip(err)
	}
	cancel(lateen.ErrFunctionTimeout)
	if err := <-ended; !errors.Is(err, lateen.ErrFunctionTimeout) {
		t.Errorf("the error is %v", err)
	}
	<-i.exited
	r.awaitLine(t, i, "the module does not end with its request: a request took longer than it may")
	for _, line := range r.logs.Lines() {
		if strings.Contains(line.Text, "event loop") {
			t.Errorf("a line of a module says %q", line.Text)
		}
	}
}

func TestABlockedEventLoopIsSaidOnce(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Templates = -1 })
	i := s.start(s.function("blocks", "nodejs24.x", "module.exports = () => { console.log('in'); for (;;); };\n"), "")
	said := func(text string) (n int) {
		for _, line := range s.logs.Lines() {
			if strings.Contains(line.Text, text) {
				n++
			}
		}
		return n
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var asked sync.WaitGroup
	for range 8 {
		asked.Go(func() {
			_, err := i.RoundTrip(to(t, http.MethodGet, "http://example.com/", nil).WithContext(ctx))
			if !errors.Is(err, lateen.ErrFunctionTimeout) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	waitFor(t, "it hangs", func() bool { return i.Busy() == 8 && said("in") == 1 })
	cancel(lateen.ErrFunctionTimeout)
	asked.Wait()
	<-i.exited
	end(i)
	if n := said("blocks its event loop"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}
