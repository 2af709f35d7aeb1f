package local

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	// maxShells is how many shells a runtime has ahead. Each takes more time to
	// build than a zygote's child does to be born, and little memory.
	maxShells   = 100
	shellMemory = 384 << 10 // bytes of one, nearly all the kernel's
)

// shell is a sandbox that stands empty, for a child of a zygote.
type shell struct {
	process *sandbox.Process
	outside *outside
	mounts  []sandbox.Mount
}

// shells are those of a runtime that are ahead.
type shells struct {
	mu    sync.Mutex // guards below
	ready []*shell
}

// build builds a shell.
func (e *Engine) build(ctx context.Context, mounts []sandbox.Mount, background bool) (*shell, error) {
	s := &shell{outside: new(outside), mounts: mounts}
	var err error
	s.process, err = e.sandbox.Start(ctx, sandbox.Spec{
		Empty: true, Mounts: mounts, Late: []sandbox.Place{{Guest: guestTree}, {Guest: guestArchive}},
		Limits: sandbox.Limits{CPU: cpus(int64(e.o.Memory) << 20)}, Network: s.outside.connector(ctx, e.o.Network), Background: background,
	})
	return s, err
}

// tear ends a shell that nobody is in.
func (s *shell) tear() {
	_ = s.process.Kill() // it is there until it was waited for
	s.process.Wait()
}

// shell returns a shell with these mounts: one that is ahead, or a new one.
func (e *Engine) shell(ctx context.Context, from *shells, mounts []sandbox.Mount) (*shell, error) {
	for s := from.take(); s != nil; s = from.take() {
		if slices.Equal(s.mounts, mounts) && s.process.Foreground() == nil {
			return s, nil
		}
		s.tear()
	}
	return e.build(ctx, mounts, false)
}

func (ss *shells) take() *shell {
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

func (ss *shells) put(s *shell) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.ready = append(ss.ready, s)
}

func (ss *shells) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.ready)
}

// empty tears all of them down.
func (ss *shells) empty() {
	for s := ss.take(); s != nil; s = ss.take() {
		s.tear()
	}
}

// stock builds shells ahead for the zygotes there are, one after the other and
// while nothing else is to be done, until ctx ends.
func (e *Engine) stock(ctx context.Context) {
	for ctx.Err() == nil && e.Zygotes() == nil {
		wait := tendZygotes
		for _, r := range e.runners {
			z := e.zygotes.of(r)
			switch ahead := r.shells; {
			case z == nil:
				ahead.empty()
			case ahead.count() >= maxShells:
			case e.rush.Quiet(time.Now()) > 0:
				wait = min(wait, pool.QuietAfter)
			default:
				s, err := e.build(ctx, z.mounts, true)
				if err == nil {
					ahead.put(s)
					wait = 0
				} else if ctx.Err() == nil {
					e.o.Log.WarnContext(ctx, "no sandbox is ahead", "err", err)
				}
			}
		}
		pool.Pause(ctx, wait)
	}
	for _, r := range e.runners {
		r.shells.empty()
	}
}
