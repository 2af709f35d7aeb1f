//go:build linux

package hostile_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// control messages that the agent has not written concern nobody but the
// instance that they come from.
func (p *platform) control(t *testing.T) {
	for _, how := range []string{"/names", "/flood", "/malformed", "/wrong", "/deep", "/lies", "/huge", "/endless"} {
		t.Run(how, func(t *testing.T) {
			before := heap()
			f := p.hostile(t, "control.cjs")
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			body, err := f.try(ctx, how)
			cancel()
			t.Logf("its own request: %s %v", body, err)
			if how == "/huge" || how == "/endless" || how == "/malformed" || how == "/wrong" {
				f.gone(t) // it is of no more use
			}
			f.end()
			if grown := heap() - before; grown > 100<<20 {
				t.Errorf("the platform has %d MiB more of it", grown>>20)
			}
		})
	}
	forged := p.logs.forgeries()
	if len(forged) == 0 {
		t.Error("no forged line came")
	}
	for _, line := range forged {
		if line.Project != "prj_hostile" || line.Deployment != "dpl_hostile" || line.Function != "/control.cjs" || line.Instance == p.neighbour.ID() || line.Request == "req_neighbour" {
			t.Errorf("a line passes for somebody else's: %+v", line)
		}
	}
}

// heap is how much the platform has in its memory.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

// endless answers end when nobody wants them any more, and cost nothing
// meanwhile.
func (p *platform) endless(t *testing.T) {
	for _, how := range []string{"/body", "/slowly"} {
		t.Run(how, func(t *testing.T) {
			f := p.hostile(t, "endless.cjs")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, lateen.ErrFunctionTimeout)
			defer cancel()
			before := heap()
			resp, err := f.open(ctx, how)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err = io.Copy(io.Discard, resp.Body); !errors.Is(err, lateen.ErrFunctionTimeout) {
				t.Errorf("the body ends with %v, want that its time is over", err)
			}
			if grown := heap() - before; grown > 100<<20 {
				t.Errorf("the platform has %d MiB more of it", grown>>20)
			}
			until(t, "the request is over", func() bool { return f.Busy() == 0 })
			if got := f.get(t, "/"); got != "short" {
				t.Errorf("the next answer is %q", got)
			}
		})
	}
	for _, how := range []string{"/head", "/early", "/trailers", "/chunk", "/lies", "/no-http"} {
		t.Run(how, func(t *testing.T) {
			f := p.hostile(t, "endless.cjs")
			if _, err := f.try(t.Context(), how); !errors.Is(err, lateen.ErrFunctionNoResponse) && !errors.Is(err, lateen.ErrFunctionFailed) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	t.Run("another protocol", func(t *testing.T) {
		f := p.hostile(t, "endless.cjs")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if body, err := f.try(ctx, "/switch"); err == nil {
			t.Errorf("it answers with %q", body)
		}
		f.end()
		f.gone(t)
	})
	t.Run("an answer too many", func(t *testing.T) {
		f := p.hostile(t, "endless.cjs")
		if got := f.get(t, "/twice"); got != "first" {
			t.Errorf("the answer is %q", got)
		}
		if got := f.get(t, "/"); got != "short" { // the second one answers nobody
			t.Errorf("the next answer is %q", got)
		}
	})
	t.Run("lines", func(t *testing.T) {
		f := p.hostile(t, "endless.cjs")
		if got := f.get(t, "/lines"); got != "written" {
			t.Errorf("the answer is %q", got)
		}
		f.end()
	})
}
