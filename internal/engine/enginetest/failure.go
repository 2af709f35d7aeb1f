package enginetest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

func (s *Suite) concurrency(t *testing.T) {
	f := s.start(t, "node", "meet.js", nil)
	const n = 8
	var waiting []<-chan result
	for k := range n {
		waiting = append(waiting, f.begin(fmt.Sprintf("/wait?door=%d", k)))
		s.Logs.await(t, f.ID(), fmt.Sprintf("waits at %d", k))
	}
	if f.Busy() != n {
		t.Errorf("%d open requests, want %d", f.Busy(), n)
	}
	for k := n - 1; k >= 0; k-- { // in reverse order
		f.get(fmt.Sprintf("/knock?door=%d", k))
		r := f.wait(waiting[k])
		if want := fmt.Sprintf("200 /wait %d", k); r.err != nil || r.answer.String() != want {
			t.Errorf("got %s, %v; want %s", r.answer, r.err, want)
		}
		s.Logs.await(t, f.ID(), fmt.Sprintf("passed %d", k))
		want := []string{fmt.Sprintf("info: waits at %d", k), fmt.Sprintf("info: passed %d", k)}
		if diff := cmp.Diff(want, s.Logs.texts(r.request)); diff != "" {
			t.Errorf("the lines of request %d (-want +got):\n%s", k, diff)
		}
	}
	f.idles()
	t.Run("many at once", func(t *testing.T) {
		f := s.start(t, "exports", "async.js", nil)
		var group sync.WaitGroup
		for k := range 32 {
			req := f.request(http.MethodGet, fmt.Sprintf("/%d", k), nil)
			group.Go(func() {
				for range 20 {
					if got, err := f.try(req.Clone(req.Context())); err != nil || got.body != "async GET "+req.URL.Path {
						t.Errorf("%s: %s, %v", req.URL.Path, got, err)
					}
				}
			})
		}
		group.Wait()
		f.idles()
	})
}

func (s *Suite) logging(t *testing.T) {
	f := s.start(t, "node", "logs.js", nil)
	both := []<-chan result{f.begin("/?id=a"), f.begin("/?id=b")} // so that their output interleaves
	for k, id := range []string{"a", "b"} {
		r := f.wait(both[k])
		if r.err != nil {
			t.Fatal(r.err)
		}
		f.idles()
		want := []string{
			"info: log " + id + " { a: 1 }", "info: info " + id, "info: debug " + id, "warning: warn " + id, "error: error " + id,
			"info: two\nlines " + id, "info: partial line " + id, "error: stderr " + id, "info: unfinished é ",
		}
		if diff := cmp.Diff(want, s.Logs.texts(r.request)); diff != "" {
			t.Errorf("the lines of request %s (-want +got):\n%s", id, diff)
		}
		line := s.Logs.await(t, f.ID(), "log "+id)
		line.Time = 0
		if diff := cmp.Diff(lateen.LogLine{
			Request: r.request, Project: "prj_1", Deployment: "dpl_1", Function: "/node/logs.js", Instance: f.ID(),
			Level: lateen.LevelInfo, Source: "function", Text: "log " + id + " { a: 1 }",
		}, line); diff != "" {
			t.Errorf("a line (-want +got):\n%s", diff)
		}
		if child := s.Logs.await(t, f.ID(), "child "+id); child.Request != "" || child.Level != lateen.LevelInfo {
			t.Errorf("log line of a child process: %+v", child)
		}
	}
}

// failures tests failed requests, and whether each one retires the instance.
func (s *Suite) failures(t *testing.T) {
	for _, c := range []struct {
		target  string
		want    error
		text    string
		line    string // in the log of the request
		retires bool
	}{
		{"/throw", lateen.ErrFunctionFailed, "Error: thrown in the handler", "error: Error: thrown in the handler\n    at ", false},
		{"/throw-string", lateen.ErrFunctionFailed, "a string", "error: a string", false},
		{"/throw-huge", lateen.ErrFunctionFailed, "Error: huge huge", "error: Error: huge huge", false},
		{"/throw-odd", lateen.ErrFunctionFailed, "", "", false},
		{"/hang-up", lateen.ErrFunctionNoResponse, "", "", false},
		{"/reject", lateen.ErrFunctionFailed, "TypeError: rejected and forgotten", "error: TypeError: rejected and forgotten\n    at ", true},
		{"/timer", lateen.ErrFunctionFailed, "Error: thrown in a timer", "error: Error: thrown in a timer\n    at ", true},
		{"/exit?code=3", lateen.ErrFunctionFailed, "process.exit(3)", "error: Error: the function called process.exit(3)", true},
		{"/exit?code=0", lateen.ErrFunctionNoResponse, "process.exit(0)", "error: Error: the function called process.exit(0)", true},
		{"/reported", lateen.ErrFunctionFailed, "process.exit(1)", "info: tracked tracked first 0", true},
		{"/exit-caught", lateen.ErrFunctionFailed, "process.exit(3)", "error: Error: the function called process.exit(3)", true},
	} {
		t.Run(c.target, func(t *testing.T) {
			f := s.start(t, "node", "fail.js", nil)
			f.get("/ok") // opens a connection that the next request reuses
			r := f.wait(f.begin(c.target))
			fails(t, r.err, c.want, c.text)
			f.idles()
			if lines := s.Logs.texts(r.request); c.line != "" && !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, c.line) }) {
				t.Errorf("the lines of the request are %q, want %q among them", lines, c.line)
			}
			if c.retires {
				f.ends()
				_, err := f.try(f.request(http.MethodGet, "/ok", nil))
				fails(t, err, engine.ErrNotTaken, "")
			} else if got := f.get("/ok"); got.body != "ok" {
				t.Errorf("the next request: %s", got)
			}
		})
	}
	t.Run("an error that a listener handles fails no request", func(t *testing.T) {
		f := s.start(t, "node", "fail.js", nil)
		if got := f.get("/handled"); got.body != "handled" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("an error after the end of the response is logged", func(t *testing.T) {
		f := s.start(t, "node", "fail.js", nil)
		r := f.wait(f.begin("/answered"))
		if r.err != nil || r.answer.body != "complete" {
			t.Errorf("got %s, %v", r.answer, r.err)
		}
		if line := s.Logs.await(t, f.ID(), "thrown after the end"); line.Request != r.request {
			t.Errorf("log line: %+v", line)
		}
	})
	t.Run("an error outside of requests fails the open ones", func(t *testing.T) {
		f := s.start(t, "node", "outside.js", nil)
		neighbour := f.begin("/neighbour")
		s.Logs.await(t, f.ID(), "in /neighbour")
		for _, r := range []result{f.wait(f.begin("/throw")), f.wait(neighbour)} {
			fails(t, r.err, lateen.ErrFunctionFailed, "Error: thrown outside of every request")
		}
		f.ends()
	})
	t.Run("no Response is no response", func(t *testing.T) {
		f := s.start(t, "node", "undefined.mjs", nil)
		_, err := f.try(f.request(http.MethodGet, "/", nil))
		fails(t, err, lateen.ErrFunctionNoResponse, "did not return a Response")
	})
	for _, target := range []string{"/late", "/cut"} {
		t.Run("a response cut short is an error: "+target, func(t *testing.T) {
			f := s.start(t, "node", "fail.js", nil)
			resp, err := f.RoundTrip(f.request(http.MethodGet, target, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if string(body) != "begun" {
				t.Errorf("body: %q", body)
			}
			fails(t, err, lateen.ErrFunctionFailed, map[string]string{"/late": "thrown after the head", "/cut": "broke off"}[target])
		})
	}
}

// neighbours tests that other requests of an instance finish after one has failed.
func (s *Suite) neighbours(t *testing.T) {
	for _, target := range []string{"/reject", "/timer", "/exit?code=1", "/exit-caught", "/throw"} {
		t.Run(target, func(t *testing.T) {
			f := s.start(t, "node", "fail.js", nil)
			neighbour := f.begin("/neighbour")
			s.Logs.await(t, f.ID(), "in /neighbour")
			release := f.begin("/reserve") // no such path: the request waits until the release
			s.Logs.await(t, f.ID(), "in /reserve")
			if r := f.wait(f.begin(target)); r.err == nil {
				t.Errorf("%s: response %s", target, r.answer)
			}
			if target != "/throw" {
				f.ends() // the instance takes no new requests; open ones continue
			}
			select {
			case r := <-neighbour:
				t.Fatalf("the neighbour failed too: %s, %v", r.answer, r.err)
			case r := <-release:
				t.Fatalf("the other neighbour failed too: %s, %v", r.answer, r.err)
			default:
			}
			f.until("only the neighbours are under way", func() bool { return f.Busy() == 2 })
		})
	}
	t.Run("and are answered", func(t *testing.T) {
		f := s.start(t, "node", "fail.js", nil)
		neighbour := f.begin("/neighbour")
		s.Logs.await(t, f.ID(), "in /neighbour")
		releasing := f.begin("/release-later")
		s.Logs.await(t, f.ID(), "in /release-later")
		if r := f.wait(f.begin("/timer")); r.err == nil {
			t.Error("the failing request got a response")
		}
		if r := f.wait(releasing); r.err != nil || r.answer.body != "released" {
			t.Errorf("release: %s, %v", r.answer, r.err)
		}
		if r := f.wait(neighbour); r.err != nil || r.answer.body != "finished" {
			t.Errorf("the neighbour: %s, %v", r.answer, r.err)
		}
	})
}

// deaths tests that the end of the process fails all its requests, with the reason.
func (s *Suite) deaths(t *testing.T) {
	for target, text := range map[string]string{"/kill": "killed", "/abort": "abort"} {
		t.Run(target, func(t *testing.T) {
			f := s.start(t, "node", "fail.js", nil)
			neighbour := f.begin("/neighbour")
			s.Logs.await(t, f.ID(), "in /neighbour")
			for _, r := range []result{f.wait(f.begin(target)), f.wait(neighbour)} {
				fails(t, r.err, lateen.ErrFunctionFailed, text)
			}
			f.ends()
			if f.Busy() != 0 {
				t.Errorf("%d open requests in a dead process", f.Busy())
			}
			if line := s.Logs.await(t, f.ID(), "ended unexpectedly"); line.Source != "platform" || line.Level != lateen.LevelError {
				t.Errorf("log line of the platform: %+v", line)
			}
		})
	}
	t.Run("a request that a dead process has not read may be retried", func(t *testing.T) {
		f := s.start(t, "node", "fail.js", nil)
		blocks := f.begin("/block")
		s.Logs.await(t, f.ID(), "in /block")
		unread := f.begin("/ok")
		f.until("both are under way", func() bool { return f.Busy() == 2 })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		f.Stop(ctx)
		fails(t, f.wait(blocks).err, lateen.ErrFunctionFailed, "before it answered")
		fails(t, f.wait(unread).err, engine.ErrNotTaken, "")
	})
	t.Run("a process that hangs past the duration limit is killed", func(t *testing.T) {
		f := s.start(t, "node", "fail.js", nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		blocks := f.send(f.request(http.MethodGet, "/block", nil).WithContext(lateen.WithRequestID(ctx, newRequestID())))
		s.Logs.await(t, f.ID(), "in /block")
		cancel(lateen.ErrFunctionTimeout)
		fails(t, f.wait(blocks).err, lateen.ErrFunctionTimeout, "")
		f.ends()
		s.Logs.await(t, f.ID(), "blocks its event loop")
		s.Logs.await(t, f.ID(), "ended unexpectedly")
	})
	t.Run("a request past its duration limit affects no other", func(t *testing.T) {
		f := s.start(t, "node", "fail.js", nil)
		neighbour := f.begin("/neighbour")
		s.Logs.await(t, f.ID(), "in /neighbour")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, lateen.ErrFunctionTimeout)
		defer cancel()
		req := f.request(http.MethodGet, "/undefined", nil)
		_, err := f.try(req.WithContext(lateen.WithRequestID(ctx, newRequestID())))
		fails(t, err, lateen.ErrFunctionTimeout, "")
		f.get("/release-later")
		if r := f.wait(neighbour); r.err != nil || r.answer.body != "finished" {
			t.Errorf("neighbour: %s, %v", r.answer, r.err)
		}
		if got := f.get("/ok"); got.body != "ok" {
			t.Errorf("the next request: %s", got)
		}
	})
	t.Run("child processes end with the instance", func(t *testing.T) {
		f := s.start(t, "node", "children.js", nil)
		pid := f.get("/").body
		f.Stop(t.Context())
		f.until("the child process has ended", func() bool { return !alive(pid) })
	})
}
