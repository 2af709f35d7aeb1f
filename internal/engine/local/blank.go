package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
)

// openPools creates the pools of all runtimes.
func (e *Engine) openPools() {
	total, _ := cgroup.HostMemory()
	o := pool.Options[*process.Process]{
		Floor: e.o.Pool, Processors: runtime.GOMAXPROCS(0), Budget: cmp.Or(e.o.PoolMemory, total/8), Burst: &e.burst, Log: e.o.Log,
		Find: func(ctx context.Context, name string) error {
			_, err := e.runner(name).Find(ctx)
			return err
		},
		Boot: func(ctx context.Context, name string, background bool, spawned func(*process.Process)) (*process.Process, error) {
			return e.bootBlank(ctx, e.runner(name), background, spawned)
		},
		Forks:    func(name string) bool { return e.zygotes.Of(e.runner(name)) != nil },
		Reserved: e.zygotes.Reserved,
		Spare: func() int64 {
			_, standby := cgroup.HostMemory()
			return standby
		},
	}
	for _, r := range e.runners {
		o.Runtimes = append(o.Runtimes, r.Name)
	}
	e.blanks = pool.New(o)
	for _, r := range e.runners {
		r.Blanks = e.blanks.Of(r.Name)
	}
}

// PoolStats is the state of the blank processes of all runtimes together.
type PoolStats struct {
	pool.Stats

	Zygotes int // number of zygotes
}

// Pools returns the state of the blank processes.
func (e *Engine) Pools() PoolStats {
	s := PoolStats{Stats: e.blanks.Stats()}
	for _, r := range e.runners {
		if e.zygotes.Of(r) != nil {
			s.Zygotes++
		}
	}
	return s
}

// bootBlank boots a process for a pool; see [pool.Options].
func (e *Engine) bootBlank(ctx context.Context, r *process.Runner, background bool, spawned func(*process.Process)) (*process.Process, error) {
	if !background || e.burst.On() { // otherwise booting delays no start
		if w := e.zygotes.Fork(ctx, r); w != nil {
			return w, nil
		}
	}
	w, err := e.host.Boot(ctx, process.BootOptions{Runner: r, Background: background, Spawned: spawned})
	if err != nil {
		return nil, err
	}
	if !w.Claim() { // a ready process leaves the background now, as a claim must be fast
		return nil, errors.New("the process ended right after its boot")
	}
	e.tags.Set(r, w.Tag)
	return w, nil
}

// downloadRuntimes downloads the usual runtimes before a request needs one.
func (e *Engine) downloadRuntimes(ctx context.Context) {
	for _, r := range e.runners {
		for failures := 0; r.Eager && ctx.Err() == nil; {
			err := r.Blanks.Find(ctx)
			if err == nil {
				break
			}
			failures++
			if ctx.Err() == nil {
				e.o.Log.WarnContext(ctx, "runtime not available yet", "runtime", r.Name, "err", err)
			}
			pool.Pause(ctx, pool.Backoff(failures))
		}
	}
}

// claim returns a booted process: a blank process, or a newly booted one if the
// environment has variables that a process reads only at boot.
func (e *Engine) claim(ctx context.Context, r *process.Runner, spec *lateen.FunctionSpec) (*process.Process, lateen.StartKind, error) {
	tenant := pool.Tenant{Name: string(spec.Project), Weight: spec.Weight}
	if special := r.BootEnv(spec.Env); len(special) > 0 {
		w, err := e.bootAlone(ctx, tenant, process.BootOptions{Runner: r, Env: special})
		return w, lateen.StartCold, err
	}
	w, ready, err := r.Blanks.Claim(ctx, tenant)
	if err != nil {
		return nil, "", fmt.Errorf("boot a process: %w", err)
	}
	kind := lateen.StartCold
	if ready || w.BootedTag != "" {
		kind = lateen.StartBlank
	}
	return w, kind, nil
}

// bootAlone boots a process for a waiting request, in the fair order of the pool.
func (e *Engine) bootAlone(ctx context.Context, t pool.Tenant, o process.BootOptions) (*process.Process, error) {
	if err := o.Runner.Blanks.Find(ctx); err != nil {
		return nil, fmt.Errorf("boot a process: %w", err)
	}
	done, err := e.blanks.Leave(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("boot a process: %w", err)
	}
	defer done()
	w, err := e.host.Boot(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("boot a process: %w", err)
	}
	return w, nil
}
