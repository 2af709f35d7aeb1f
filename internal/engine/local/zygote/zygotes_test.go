package zygote

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/local/process/processtest"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const waitLimit = 5 * time.Minute

// newZygotes returns zygotes for a runtime in use, which a test manages itself. The
// test is skipped if the host does not support them.
func newZygotes(t *testing.T) (*Zygotes, *process.Runner) {
	t.Helper()
	dir := enginetest.Reachable(t)
	agent, err := guest.InstallNode(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	node, err := enginetest.Toolchain(t).Node(t.Context(), 24)
	if err != nil {
		t.Fatal(err)
	}
	const root = sandbox.MountRoot + "/runtime"
	r := &process.Runner{Name: "Node.js 24", Warm: true, Forks: true, Find: func(context.Context) (process.Command, error) {
		return process.Command{Path: node, Named: node, Args: []string{agent}, Mounts: []sandbox.Mount{
			{Host: node, Guest: root + "/node"}, {Host: filepath.Dir(agent), Guest: root + "/agent"},
		}}, nil
	}}
	r.Blanks = pool.New(pool.Options[*process.Process]{Runtimes: []string{r.Name}, Find: func(context.Context, string) error { return nil }}).Of(r.Name)
	r.Blanks.Need()
	if err := r.Blanks.Find(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := processtest.Open(t, dir)
	zs := New(h, Options{Runners: []*process.Runner{r}, Tags: &process.Tags{}, Burst: &pool.Burst{}, Libraries: root + "/agent"})
	if why := zs.Disabled(); why != nil {
		t.Skip(why)
	}
	return zs, r
}

func TestFailingZygotesAreDisabled(t *testing.T) {
	zs, r := newZygotes(t)
	for range maxRefusals {
		if why := zs.Disabled(); why != nil {
			t.Fatal(why)
		}
		if err := zs.Renew(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		z := zs.Of(r)
		z.Kill() // the engine does not know of this
		if w, err := zs.forkIntoSandbox(t.Context(), z, zs.sandboxes[r.Name]); err == nil {
			w.Kill()
			t.Fatal("a dead zygote forked a process")
		}
		if zs.record(z, errors.New("it was too slow")); zs.Disabled() != nil {
			t.Fatal("a slow zygote disabled all zygotes")
		}
		zs.record(z, fmt.Errorf("fork: %w", refusedError{syscall.EPERM}))
	}
	if zs.Disabled() == nil || zs.Of(r) != nil {
		t.Error("zygotes are not disabled")
	}
	if w := zs.Fork(t.Context(), r); w != nil {
		w.Kill()
		t.Error("a disabled zygote forked a process")
	}
}

func TestOldZygotesAreReplaced(t *testing.T) {
	zs, r := newZygotes(t)
	if err := zs.Renew(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	before := zs.Of(r)
	w := zs.Fork(t.Context(), r)
	if w == nil {
		t.Fatal("fork failed")
	}
	zs.mu.Lock()
	before.firstFork = time.Now().Add(-maxAge - time.Second)
	zs.mu.Unlock()
	if err := zs.manageOne(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	select {
	case <-before.Exited:
	case <-time.After(waitLimit):
		t.Fatal("the worn zygote is still running")
	}
	if z := zs.Of(r); z == nil || z == before {
		t.Error("no zygote replaced it")
	}
	if w, err := zs.forkIntoSandbox(t.Context(), before, zs.sandboxes[r.Name]); !errors.Is(err, errRetired) {
		t.Errorf("fork of a retired zygote: %v, %v", w, err)
	}
	if w.Lost() {
		t.Error("a forked process ended with its zygote")
	}
}
