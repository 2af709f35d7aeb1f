//go:build linux && e2e

package hostile_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// control checks that control messages that the agent has not written affect only
// the instance that sends them.
func (p *platform) control(t *testing.T) {
	for _, how := range []string{"/names", "/flood", "/malformed", "/wrong", "/deep", "/lies", "/huge", "/endless"} {
		t.Run(how, func(t *testing.T) {
			before := p.heap()
			f := p.hostile(t, "control.cjs")
			limit := waitLimit
			if how == "/flood" { // which takes as long as it is read
				limit = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			body, err := f.try(ctx, how)
			cancel()
			t.Logf("its own request: %s %v", body, err)
			if how == "/huge" || how == "/endless" || how == "/malformed" || how == "/wrong" {
				f.gone(t) // it is of no more use
			}
			f.end()
			if grown := p.heap() - before; grown > 100<<20 {
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
func (p *platform) heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

// endless checks that endless responses end once their client is gone, and cost
// nothing until then.
func (p *platform) endless(t *testing.T) {
	var all sync.WaitGroup
	for _, how := range []string{"/body", "/slowly"} {
		f := p.hostile(t, "endless.cjs")
		all.Go(func() { f.streams(t, how) })
	}
	for _, how := range []string{"/head", "/early", "/trailers", "/chunk", "/lies", "/no-http"} {
		f := p.hostile(t, "endless.cjs")
		all.Go(func() {
			if _, err := f.try(t.Context(), how); !errors.Is(err, lateen.ErrFunctionNoResponse) && !errors.Is(err, lateen.ErrFunctionFailed) {
				t.Errorf("%s: the error is %v", how, err)
			}
		})
	}
	before := p.heap()
	all.Wait()
	if grown := p.heap() - before; grown > 100<<20 {
		t.Errorf("the platform has %d MiB more of them", grown>>20)
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
		if got := f.get(t, "/"); got != "short" { // the second response has no request
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

// streams has an answer without an end, until the request's time is over.
func (f *function) streams(t *testing.T, how string) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	resp, err := f.open(ctx, how)
	if err != nil {
		t.Errorf("%s: %v", how, err)
		return
	}
	defer resp.Body.Close()
	time.AfterFunc(500*time.Millisecond, func() { cancel(lateen.ErrFunctionTimeout) })
	before := f.p.heap()
	if _, err = io.Copy(io.Discard, resp.Body); !errors.Is(err, lateen.ErrFunctionTimeout) {
		t.Errorf("%s: the body ends with %v, want that its time is over", how, err)
	}
	if grown := f.p.heap() - before; grown > 100<<20 {
		t.Errorf("%s: the platform has %d MiB more of it", how, grown>>20)
	}
	comes(t, how+": the request is over", func() bool { return f.Busy() == 0 })
	if got, err := f.try(t.Context(), "/"); err != nil || got != "short" {
		t.Errorf("%s: the next answer is %q, %v", how, got, err)
	}
}

// rehearsals checks training runs: the function returns its code cache, and only
// this function reads the stored data.
func (p *platform) rehearsals(t *testing.T) {
	for _, how := range []string{"endless", "climbing", "deep", "many", "garbage", "silence"} {
		t.Run(how, func(t *testing.T) {
			of := func(s *lateen.FunctionSpec) {
				s.Key, s.Deployment = lateen.NewFunctionKey(lateen.DeploymentID("dpl_"+how), s.Name), lateen.DeploymentID("dpl_"+how)
				s.Env = map[string]string{"HOW": how}
			}
			limit := waitLimit
			if how == "silence" {
				limit = 2 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			err := p.engine.Prepare(ctx, p.spec("hostile", "rehearse.cjs", of))
			t.Logf("it is prepared: %v", err)
			if err == nil && how != "garbage" && how != "endless" { // an endless body is cut at the announced length
				t.Error("it was taken")
			}
			f := p.start(t, "hostile", "rehearse.cjs", of)
			if got := f.get(t, "/"); got != "text" {
				t.Errorf("it answers with %q", got)
			}
			f.end()
		})
	}
	var bytes, entries int64
	err := filepath.WalkDir(filepath.Dir(p.dir), func(path string, d fs.DirEntry, err error) error {
		if err == nil && path == p.trees {
			return fs.SkipDir
		}
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since: other instances come and go
		}
		if err != nil {
			return err
		}
		if d.Name() == "outside" {
			t.Errorf("%s was written", path)
		}
		bytes, entries = bytes+info.Size(), entries+1
		return nil
	})
	if err != nil || bytes > 100<<20 || entries > 1000 {
		t.Errorf("%d bytes in %d files and directories are left, %v", bytes, entries, err)
	}
}
