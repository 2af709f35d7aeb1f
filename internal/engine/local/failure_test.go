package local

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
)

// TestTheLogOfAHangingModuleNamesNoEventLoop freezes the process of a module, so
// that it answers nothing, and reads the resulting log line.
func TestTheLogOfAHangingModuleNamesNoEventLoop(t *testing.T) {
	r := newRig(t)
	started, _ := beginModule(t, r, moduleOf(modulesTree(t, r)))
	i := started.(*instance.Instance)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan error, 1)
	req := to(t, http.MethodGet, "/sleep", nil)
	go func() {
		_, err := i.RoundTrip(req.WithContext(ctx))
		ended <- err
	}()
	r.awaitLine(t, i, "sleeping")
	if err := i.Sandboxed.Freeze(); err != nil {
		t.Skip(err)
	}
	cancel(lateen.ErrFunctionTimeout)
	if err := <-ended; !errors.Is(err, lateen.ErrFunctionTimeout) {
		t.Errorf("error: %v", err)
	}
	<-i.Exited
	r.awaitLine(t, i, "the module does not end with its request: a request exceeded its duration limit")
	for _, line := range r.logs.Lines() {
		if strings.Contains(line.Text, "event loop") {
			t.Errorf("log line of a module: %q", line.Text)
		}
	}
}

func TestABlockedEventLoopIsLoggedOnce(t *testing.T) {
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
				t.Errorf("error: %v", err)
			}
		})
	}
	waitFor(t, "the event loop is blocked", func() bool { return i.Busy() == 8 && said("in") == 1 })
	cancel(lateen.ErrFunctionTimeout)
	asked.Wait()
	<-i.Exited
	end(i)
	if n := said("blocks its event loop"); n != 1 {
		t.Errorf("%d log lines, want 1", n)
	}
}

// TestTheEndOfAProcessIsLoggedForItsRequests: the process cannot log the reason
// for its end, and the log line about the instance belongs to no request.
func TestTheEndOfAProcessIsLoggedForItsRequests(t *testing.T) {
	r := newRig(t)
	tree := r.tree("ends", map[string]string{"ends.js": `module.exports = (req, res) => {
  if (req.query.way === 'kill') process.kill(process.pid, 'SIGKILL');
  if (req.query.way === 'middle') { res.write('half'); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 10); }
  if (req.query.way === 'hang-up') req.socket.destroy();
  if (req.query.way === 'memory') for (const kept = []; ;) kept.push(Buffer.alloc(1 << 20, 1));
};`})
	f := lateen.Function{Runtime: "nodejs24.x", Handler: "ends.js", Tree: tree, LauncherType: "Nodejs", AddHelpers: true, Memory: 128}
	for way, want := range map[string]string{
		"kill": "ended before it answered: ", "middle": "ended in the middle of its response: ", "hang-up": "closed the connection without a response", "memory": "before it answered: it used more than 128 MiB of memory",
	} {
		t.Run(way, func(t *testing.T) {
			if way == "memory" && r.host.Sandbox.Missing() != "" {
				t.Skip(r.host.Sandbox.Missing())
			}
			i := r.start(t, f, nil)
			req := to(t, http.MethodGet, "/?way="+way, nil)
			resp, err := i.RoundTrip(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, lateen.ErrFunctionFailed) && !errors.Is(err, lateen.ErrFunctionNoResponse) {
				t.Errorf("error: %v", err)
			}
			line := r.awaitLine(t, i, want)
			if own := lateen.RequestIDFrom(req.Context()); line.Request != own || line.Level != lateen.LevelError || line.Source != "platform" {
				t.Errorf("%+v, want one of the request %s", line, own)
			}
		})
	}
}
