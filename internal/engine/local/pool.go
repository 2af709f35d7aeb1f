package local

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// pool keeps blank processes of one runtime, from when it was first needed on.
type pool struct {
	runner *runner
	size   int
	ready  chan *worker // one more waits to be put in

	needed chan struct{} // closed once it is
	once   sync.Once
}

func newPool(r *runner, size int) *pool {
	return &pool{runner: r, size: size, ready: make(chan *worker, max(size-1, 0)), needed: make(chan struct{})}
}

func (p *pool) need() { p.once.Do(func() { close(p.needed) }) }

// fill boots blank processes, one after the other and at a low priority, so
// that it takes nothing from those that work, until ctx ends.
func (e *Engine) fill(ctx context.Context, p *pool) {
	select {
	case <-p.needed:
	case <-ctx.Done():
		return
	}
	for failures := 0; p.size > 0 && ctx.Err() == nil; {
		w, err := e.boot(ctx, bootOptions{runner: p.runner, background: true})
		if err != nil {
			if ctx.Err() == nil {
				e.o.Log.WarnContext(ctx, "no blank process", "runtime", p.runner.name, "err", err)
			}
			failures++
			pause(ctx, failures)
			continue
		}
		failures = 0
		select {
		case p.ready <- w:
		case <-ctx.Done():
			w.kill()
		}
	}
	for {
		select {
		case w := <-p.ready:
			w.kill()
		default:
			return
		}
	}
}

// fetch gets every runtime that most need, so that no request waits for a
// download.
func (e *Engine) fetch(ctx context.Context) {
	for _, r := range e.runners() {
		for failures := 0; r.eager && ctx.Err() == nil; {
			_, err := r.find(ctx)
			if err == nil {
				break
			}
			failures++
			if ctx.Err() == nil {
				e.o.Log.WarnContext(ctx, "a runtime is not there yet", "runtime", r.name, "err", err)
			}
			pause(ctx, failures)
		}
	}
}

// pause waits longer the more often something has failed, up to a minute.
func pause(ctx context.Context, failures int) {
	most := min(time.Minute, time.Second<<min(failures, 6))
	timer := time.NewTimer(most/2 + rand.N(most/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// claim returns a booted process: a blank one, or where there is none, or the
// environment has what a process reads only when it boots, one of its own.
func (e *Engine) claim(ctx context.Context, p *pool, env map[string]string) (*worker, lateen.StartKind, error) {
	p.need()
	special := p.runner.bootEnv(env)
	for len(special) == 0 {
		select {
		case w := <-p.ready:
			if w.claim() {
				return w, lateen.StartBlank, nil
			}
			continue // it died waiting
		default:
		}
		break
	}
	w, err := e.boot(ctx, bootOptions{runner: p.runner, env: special})
	if err != nil {
		return nil, "", fmt.Errorf("boot a process: %w", err)
	}
	return w, lateen.StartCold, nil
}

// bootEnv returns what of an environment counts only when a process boots.
func (r *runner) bootEnv(env map[string]string) []string {
	var special []string
	for _, name := range r.reads {
		if value, ok := env[name]; ok {
			special = append(special, name+"="+value)
		}
	}
	return special
}
