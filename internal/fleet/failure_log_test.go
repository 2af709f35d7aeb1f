package fleet_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// written collects the lines of a log.
type written struct {
	mu    sync.Mutex
	lines []lateen.LogLine
}

func (w *written) Log(line lateen.LogLine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
}

// TestTheReasonOfAMissingResponseIsLogged: the platform writes the line, since
// the function cannot.
func TestTheReasonOfAMissingResponseIsLogged(t *testing.T) {
	broken := func(req *http.Request) (*http.Response, error) {
		r, w := io.Pipe()
		context.AfterFunc(req.Context(), func() { _ = w.CloseWithError(req.Context().Err()) })
		return &http.Response{StatusCode: 200, Body: r}, nil
	}
	for name, c := range map[string]struct {
		engine *fakeEngine
		want   string // text of the only line; "" for no line
	}{
		"code that does not load":      {&fakeEngine{failures: 9, failWith: lateen.ErrFunctionFailed.With("the function's code could not be loaded: SyntaxError")}, "could not be loaded: SyntaxError"},
		"a fault of the platform":      {&fakeEngine{failures: 9, failWith: errors.New("open /var/lib/lateen: no space")}, "no instance of the function could be started"},
		"no answer in time":            {&fakeEngine{handle: sleeping(time.Minute)}, "10s"},
		"half an answer in time":       {&fakeEngine{handle: broken}, "10s"},
		"no start in time":             {&fakeEngine{boot: 15 * time.Second}, "10s"},
		"an error that the code threw": {&fakeEngine{handle: func(*http.Request) (*http.Response, error) { return nil, lateen.ErrFunctionFailed.With("thrown") }}, ""},
		"an answer":                    {&fakeEngine{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log written
				h := run(t, fleet.Options{Engine: c.engine, Lines: &log})
				s := spec("/a")
				s.Function.MaxDuration = 10
				_, _, err := h.call(lateen.WithRequestID(t.Context(), "req_1"), s)
				if c.want == "" {
					if len(log.lines) > 0 {
						t.Errorf("%v: %+v", err, log.lines)
					}
					return
				}
				if len(log.lines) != 1 {
					t.Fatalf("%v: there are %d lines", err, len(log.lines))
				}
				line := log.lines[0]
				if !strings.Contains(line.Text, c.want) || strings.Contains(line.Text, "/var") || line.Request != "req_1" || line.Level != lateen.LevelError ||
					line.Source != "platform" || line.Project != s.Project || line.Deployment != s.Deployment || line.Function != s.Name || line.Time == 0 {
					t.Errorf("%v: %+v", err, line)
				}
			})
		})
	}
}
