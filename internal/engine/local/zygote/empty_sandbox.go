package zygote

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	// maxEmptySandboxes is the number of empty sandboxes that a runtime keeps.
	// Creating a sandbox takes longer than forking a process into it, and a sandbox
	// uses little memory.
	maxEmptySandboxes  = 100
	emptySandboxMemory = 384 << 10 // bytes of one empty sandbox, nearly all of them in the kernel
)

// emptySandbox is an empty sandbox for a process that is forked from a zygote.
type emptySandbox struct {
	process *sandbox.Process
	link    *process.Link
	mounts  []sandbox.Mount
}

// emptySandboxes are the empty sandboxes that a runtime has ready.
type emptySandboxes struct {
	mu    sync.Mutex // guards below
	ready []*emptySandbox
}

// buildSandbox creates an empty sandbox.
func (zs *Zygotes) buildSandbox(ctx context.Context, mounts []sandbox.Mount, background bool) (*emptySandbox, error) {
	s := &emptySandbox{link: new(process.Link), mounts: mounts}
	var err error
	s.process, err = zs.host.StartEmpty(ctx, s.link, mounts, background)
	return s, err
}

// destroy destroys an empty sandbox.
func (s *emptySandbox) destroy() {
	_ = s.process.Kill() // the process exists until Wait returns
	s.process.Wait()
}

// takeSandbox returns an empty sandbox with these mounts, a ready one if possible.
func (zs *Zygotes) takeSandbox(ctx context.Context, from *emptySandboxes, mounts []sandbox.Mount) (*emptySandbox, error) {
	for s := from.take(); s != nil; s = from.take() {
		if slices.Equal(s.mounts, mounts) && s.process.Foreground() == nil {
			return s, nil
		}
		s.destroy()
	}
	return zs.buildSandbox(ctx, mounts, false)
}

func (ss *emptySandboxes) take() *emptySandbox {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	n := len(ss.ready)
	if n == 0 {
		return nil
	}
	s := ss.ready[n-1]
	ss.ready = ss.ready[:n-1]
	return s
}

func (ss *emptySandboxes) put(s *emptySandbox) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.ready = append(ss.ready, s)
}

func (ss *emptySandboxes) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.ready)
}

// destroyAll destroys all empty sandboxes.
func (ss *emptySandboxes) destroyAll() {
	for s := ss.take(); s != nil; s = ss.take() {
		s.destroy()
	}
}

// stockSandboxes creates empty sandboxes for the existing zygotes, one after the
// other and in quiet moments, until ctx ends.
func (zs *Zygotes) stockSandboxes(ctx context.Context) {
	for ctx.Err() == nil && zs.Disabled() == nil {
		wait := interval
		for _, r := range zs.runners {
			z := zs.Of(r)
			switch ready := zs.sandboxes[r.Name]; {
			case z == nil:
				ready.destroyAll()
			case ready.count() >= maxEmptySandboxes:
			case zs.burst.Remaining(time.Now()) > 0:
				wait = min(wait, pool.QuietAfter)
			default:
				s, err := zs.buildSandbox(ctx, z.mounts, true)
				if err == nil {
					ready.put(s)
					wait = 0
				} else if ctx.Err() == nil {
					zs.host.Log.WarnContext(ctx, "could not pre-create a sandbox", "err", err)
				}
			}
		}
		pool.Pause(ctx, wait)
	}
	for _, ready := range zs.sandboxes {
		ready.destroyAll()
	}
}
