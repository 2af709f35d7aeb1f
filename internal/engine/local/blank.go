package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/engine/pool"
)

// openPools creates the pools of all runtimes.
func (e *Engine) openPools() {
	total, _ := cgroup.HostMemory()
	o := pool.Options[*worker]{
		Floor: e.o.Pool, Processors: runtime.GOMAXPROCS(0), Budget: cmp.Or(e.o.PoolMemory, total/8), Rush: &e.rush, Log: e.o.Log,
		Find: func(ctx context.Context, name string) error {
			_, err := e.runner(name).find(ctx)
			return err
		},
		Boot: func(ctx context.Context, name string, background bool, spawned func(*worker)) (*worker, error) {
			return e.bootBlank(ctx, e.runner(name), background, spawned)
		},
		Forks:    func(name string) bool { return e.zygotes.of(e.runner(name)) != nil },
		Reserved: e.reserved,
		Spare: func() int64 {
			_, standby := cgroup.HostMemory()
			return standby
		},
	}
	e.runners = e.findRunners()
	for _, r := range e.runners {
		o.Runtimes = append(o.Runtimes, r.name)
	}
	e.blanks = pool.New(o)
	for _, r := range e.runners {
		r.blanks = e.blanks.Of(r.name)
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
		if e.zygotes.of(r) != nil {
			s.Zygotes++
		}
	}
	return s
}

// bootBlank boots a process for a pool; see [pool.Options].
func (e *Engine) bootBlank(ctx context.Context, r *runner, background bool, spawned func(*worker)) (*worker, error) {
	if !background || e.rush.On() { // otherwise booting delays no start
		if w := e.forkBlank(ctx, r); w != nil {
			return w, nil
		}
	}
	w, err := e.boot(ctx, bootOptions{runner: r, background: background, spawned: spawned})
	if err != nil {
		return nil, err
	}
	if !w.Claim() { // a ready process leaves the background now, as a claim must be fast
		return nil, errors.New("the process ended right after its boot")
	}
	e.zygotes.tag(r, w.tag)
	return w, nil
}

// downloadRuntimes downloads the usual runtimes before a request needs one.
func (e *Engine) downloadRuntimes(ctx context.Context) {
	for _, r := range e.runners {
		for failures := 0; r.eager && ctx.Err() == nil; {
			err := r.blanks.Find(ctx)
			if err == nil {
				break
			}
			failures++
			if ctx.Err() == nil {
				e.o.Log.WarnContext(ctx, "runtime not available yet", "runtime", r.name, "err", err)
			}
			pool.Pause(ctx, pool.Backoff(failures))
		}
	}
}

// claim returns a booted process: a blank process, or a newly booted one if the
// environment has variables that a process reads only at boot.
func (e *Engine) claim(ctx context.Context, r *runner, spec *lateen.FunctionSpec) (*worker, lateen.StartKind, error) {
	tenant := pool.Tenant{Name: string(spec.Project), Weight: spec.Weight}
	if special := r.bootEnv(spec.Env); len(special) > 0 {
		w, err := e.bootAlone(ctx, tenant, bootOptions{runner: r, env: special})
		return w, lateen.StartCold, err
	}
	w, ready, err := r.blanks.Claim(ctx, tenant)
	if err != nil {
		return nil, "", fmt.Errorf("boot a process: %w", err)
	}
	kind := lateen.StartCold
	if ready || w.bootedTag != "" {
		kind = lateen.StartBlank
	}
	return w, kind, nil
}

// bootAlone boots a process for a waiting request, in the fair order of the pool.
func (e *Engine) bootAlone(ctx context.Context, t pool.Tenant, o bootOptions) (*worker, error) {
	if err := o.runner.blanks.Find(ctx); err != nil {
		return nil, fmt.Errorf("boot a process: %w", err)
	}
	done, err := e.blanks.Leave(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("boot a process: %w", err)
	}
	defer done()
	w, err := e.boot(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("boot a process: %w", err)
	}
	return w, nil
}

// bootEnv returns the variables of an environment that a process reads only at boot.
func (r *runner) bootEnv(env map[string]string) []string {
	var special []string
	for _, name := range r.bootVars {
		if value, ok := env[name]; ok {
			special = append(special, name+"="+value)
		}
	}
	return special
}

// Claim ends the background priority; false if the process has ended.
func (w *worker) Claim() bool {
	if w.Lost() {
		return false
	}
	if w.foreground.Swap(true) {
		return true
	}
	if err := w.process.Foreground(); err != nil {
		w.Kill()
		return false
	}
	return true
}

// Lost reports whether the process has ended. It asks the control connection,
// because the kernel closes the process's end before Wait returns.
func (w *worker) Lost() bool {
	if isClosed(w.exited) {
		return true
	}
	conn, ok := w.handles.control.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		ended = n == 0 && err == nil || errors.Is(err, unix.ECONNRESET)
	})
	return ended || err != nil
}

// Memory is the number of bytes that the process holds; 0 if unknown.
func (w *worker) Memory() int64 {
	u, err := w.process.Usage()
	if err != nil {
		return 0 // the process has just ended
	}
	return u.Memory
}

// Kill kills the process.
func (w *worker) Kill() { _ = w.process.Kill() } // it fails only if the process has ended
