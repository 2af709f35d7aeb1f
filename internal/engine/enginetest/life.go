package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

func (s *Suite) background(t *testing.T) {
	for _, how := range []string{"argument", "vercel", "next"} {
		t.Run("waitUntil by "+how, func(t *testing.T) {
			f := s.start(t, "node", "background.mjs", nil)
			s.Logs.await(t, f.ID(), "outside true true")
			r := f.wait(f.begin("/" + how))
			if r.err != nil || r.answer.body != "/"+how {
				t.Fatal(r.answer, r.err)
			}
			if f.Busy() != 1 {
				t.Errorf("%d open requests, want 1", f.Busy())
			}
			f.get("/finish")
			if line := s.Logs.await(t, f.ID(), how+" done"); line.Request != r.request {
				t.Errorf("request of the log line: %q, want %q", line.Request, r.request)
			}
			f.idles()
		})
	}
	t.Run("its failure is logged", func(t *testing.T) {
		f := s.start(t, "node", "background.mjs", nil)
		r := f.wait(f.begin("/fails"))
		f.get("/finish")
		if line := s.Logs.await(t, f.ID(), "background failure"); line.Request != r.request || line.Level != lateen.LevelError {
			t.Errorf("log line: %+v", line)
		}
		f.idles()
		if got := f.get("/ok"); got.body != "/ok" {
			t.Errorf("the next request: %s", got)
		}
	})
	t.Run("only promises are accepted", func(t *testing.T) {
		if got := s.start(t, "node", "background.mjs", nil).get("/bad"); got.body != "TypeError" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("the request's context", func(t *testing.T) {
		f := s.start(t, "node", "background.mjs", nil)
		req := f.request(http.MethodGet, "/context?q=1", nil)
		req.Header.Set("X-Mine", "yes")
		var got struct {
			Headers map[string]string `json:"headers"`
			URL     string            `json:"url"`
		}
		if err := json.Unmarshal([]byte(f.do(req).body), &got); err != nil {
			t.Fatal(err)
		}
		if got.Headers["x-mine"] != "yes" || !strings.HasSuffix(got.URL, "/context?q=1") {
			t.Errorf("got %+v", got)
		}
	})
}

func (s *Suite) loading(t *testing.T) {
	for _, c := range []struct{ handler, text, words string }{
		{"throws.js", "RangeError: thrown while loading", "about to throw"},
		{"rejects.mjs", "Error: rejected while loading", ""},
		{"syntax.js", "SyntaxError", "syntax.js:1"},
		{"missing.js", "Cannot find module './no-such-module'", ""},
		{"nothing.js", "exports nothing that answers requests", ""},
		{"no-such-file.js", "no-such-file.js is not among the function's files", ""},
		{"exits.js", "process.exit(7)", "no point in going on"},
		{"dies.js", "killed", ""},
		{"later.js", "thrown beside the loading", ""},
	} {
		t.Run(c.handler, func(t *testing.T) {
			request := newRequestID()
			instance, err := s.Engine.Start(lateen.WithRequestID(t.Context(), request), Spec("load", c.handler, nil))
			if err == nil {
				instance.Stop(t.Context())
			}
			fails(t, err, lateen.ErrFunctionFailed, c.text)
			fails(t, err, lateen.ErrFunctionFailed, c.words)
			if c.words != "" && !strings.Contains(strings.Join(s.Logs.texts(request), "\n"), c.words) {
				t.Errorf("log lines of the waiting request: %q", s.Logs.texts(request))
			}
		})
	}
	t.Run("a start can be abandoned", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		stop := time.AfterFunc(200*time.Millisecond, func() { cancel(enough) })
		defer stop.Stop()
		if _, err := s.Engine.Start(ctx, Spec("load", "hangs.mjs", nil)); !errors.Is(err, enough) {
			t.Errorf("error: %v, want the context's cause", err)
		}
	})
}

func (s *Suite) stop(t *testing.T) {
	t.Run("open requests finish", func(t *testing.T) {
		f := s.start(t, "node", "stop.js", nil)
		waiting := f.begin("/wait")
		s.Logs.await(t, f.ID(), "waiting")
		open := f.request(http.MethodGet, "/open", nil)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			f.Stop(t.Context())
		}()
		f.ends()
		_, err := f.try(open)
		if err == nil {
			t.Error("a stopped instance took a request")
		}
		select {
		case <-stopped:
			t.Error("the instance stopped before an open request ended")
		case r := <-waiting:
			t.Errorf("request: %s, %v", r.answer, r.err)
		default:
		}
	})
	t.Run("user code gets SIGTERM, and the process ends soon after", func(t *testing.T) {
		for try := 1; ; try++ {
			f := s.start(t, "node", "stop.js", nil)
			f.get("/")
			f.Stop(t.Context())
			if strings.Contains(s.Logs.all(f.ID()), "asked to end") {
				return
			}
			if try == 20 { // on a busy host the grace period may pass before the process runs
				t.Fatalf("the function has not logged SIGTERM:\n%s", s.Logs.all(f.ID()))
			}
		}
	})
	t.Run("the grace period is bounded", func(t *testing.T) {
		f := s.start(t, "node", "stubborn.js", nil)
		waiting := f.begin("/for-ever")
		s.Logs.await(t, f.ID(), "for ever")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		f.Stop(ctx) // the function ignores SIGTERM
		if r := f.wait(waiting); r.err == nil {
			t.Errorf("the request got a response: %s", r.answer)
		}
		f.Stop(ctx) // again, after the process has ended
	})
}

func (s *Suite) usage(t *testing.T) {
	f := s.start(t, "node", "spin.js", nil)
	before := f.Usage()
	if before.Memory < 1<<20 || before.Memory > 500<<20 {
		t.Errorf("memory: %d bytes", before.Memory)
	}
	if before.CPU > 5*time.Second {
		t.Errorf("CPU time before the first request: %v", before.CPU)
	}
	f.get("/")
	if used := f.Usage().CPU - before.CPU; used < 30*time.Millisecond || used > 5*time.Second {
		t.Errorf("60 ms of work took %v of CPU time", used)
	}
	p := f.Started()
	if p.Kind != lateen.StartBlank && p.Kind != lateen.StartCold || p.Load <= 0 || p.Claim < 0 {
		t.Errorf("phases of the start: %+v", p)
	}
	if other := s.start(t, "node", "spin.js", nil); other.ID() == f.ID() || !strings.HasPrefix(string(f.ID()), "ins_") {
		t.Errorf("IDs: %s and %s", f.ID(), other.ID())
	}
}

func (s *Suite) runtimes(t *testing.T) {
	runtime := func(name string) func(*lateen.FunctionSpec) {
		return func(spec *lateen.FunctionSpec) { spec.Function.Runtime = name }
	}
	for _, name := range []string{"nodejs22.x", "nodejs20.x", "nodejs18.x"} {
		t.Run(name, func(t *testing.T) {
			f := s.start(t, "node", "stop.js", runtime(name))
			if got := f.get("/"); got.body != "/" {
				t.Errorf("got %s", got)
			}
			if name != "nodejs22.x" {
				s.Logs.await(t, f.ID(), "end of life: this function runs on Node.js 22")
			}
		})
	}
	for _, name := range []string{"ruby3.3", "nodejs99.x", "nodejs", "python", ""} {
		_, err := s.Engine.Start(t.Context(), Spec("node", "stop.js", runtime(name)))
		fails(t, err, lateen.ErrFunctionRuntime, name)
	}
}
