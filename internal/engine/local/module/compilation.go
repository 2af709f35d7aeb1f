package module

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	compileAtOnce = 4       // maximum number of concurrent compilations
	compileMemory = 1 << 30 // maximum memory of one compilation, in bytes
)

// compileWithin returns the number of concurrent compilations on a host with this
// much memory, and the memory limit of each. All compilations together get at most
// half of the memory.
func compileWithin(total int64) (places int, memory int64) {
	memory = min(compileMemory, max(total/4, 1))
	return int(min(compileAtOnce, max(total/2/memory, 1))), memory
}

// compilation is a module that is being compiled or that waits for a slot. A
// compilation without a slot ends with its last waiting caller; one with a slot runs
// to its end.
type compilation struct {
	done   chan struct{} // closed when the compilation has ended; err is set before
	err    error
	cancel context.CancelCauseFunc

	// Guarded by Modules.
	waiters int  // callers that wait for the end
	hasSlot bool // the compilation has a slot

	mu      sync.Mutex // guards the fields below
	awaited bool       // a start waits for the compilation
	process *sandbox.Process
}

// errAbandoned cancels a compilation without a slot that nothing waits for.
var errAbandoned = errors.New("no start waits for the compilation")

// prioritize gives the compilation the CPU priority of a start.
func (c *compilation) prioritize() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaited = true
	if c.process != nil {
		_ = c.process.Foreground() // on an error the compilation is only slower, or has ended
	}
}

// setProcess records the process of a compilation. It has background priority until a
// start waits for it.
func (c *compilation) setProcess(p *sandbox.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process = p; !c.awaited {
		_ = p.Background() // on an error the compilation only has a higher priority
	}
}

// compile compiles a function's module in a blank process and stores the
// result for the function.
func (ms *Modules) compile(ctx context.Context, c *compilation, r *process.Runner, spec lateen.FunctionSpec) error {
	if err := ms.slots.take(ctx, spec.Project); err != nil {
		return err
	}
	defer ms.slots.give(spec.Project)
	if err := ms.takeSlot(ctx, c); err != nil {
		return err
	}
	ctx, cancel := ms.group.Host.WithTimeout(ctx, process.PrepareTimeout)
	defer cancel()
	tree, err := ms.group.Trees(ctx, spec.Function.Tree)
	if err != nil {
		return fmt.Errorf("lay out the files of %s: %w", spec.Name, err)
	}
	for tries := 1; ; tries++ {
		if err = ms.compileIn(ctx, c, r, spec, tree); !errors.Is(err, instance.ErrGone) || tries == instance.MaxClaims {
			return err
		}
	}
}

func (ms *Modules) compileIn(ctx context.Context, c *compilation, r *process.Runner, spec lateen.FunctionSpec, tree string) error {
	w, _, err := r.Blanks.Claim(ctx, pool.Tenant{Name: string(spec.Project), Weight: spec.Weight})
	if err != nil {
		return fmt.Errorf("boot a process: %w", err)
	}
	if ms.archives.Find(spec.Key, w.Tag) != nil { // the tag was unknown before the first boot
		w.Kill()
		return nil
	}
	c.setProcess(w.Sandboxed)
	w.Output.Mute()
	total, _ := cgroup.HostMemory()
	_, memory := compileWithin(total)
	i := ms.group.Add(ctx, w, instance.Options{Spec: spec, Training: true, Memory: memory, LoadTimeout: ms.group.Host.Scaled(process.PrepareTimeout)})
	if err := i.Load(ctx, tree, instance.Activation{Record: true}); err != nil {
		return err
	}
	defer i.KillAndWait()
	resp, err := i.Operate(ctx, guest.OperationArchive)
	if why := process.RefusalError(""); errors.As(err, &why) {
		return lateen.ErrFunctionFailed.With("the function's code could not be loaded: %s", string(why))
	}
	if err != nil {
		return fmt.Errorf("store the compiled module of %s: %w", spec.Name, err)
	}
	defer resp.Body.Close()
	return ms.archives.Put(spec.Key, i.Tag, resp.Body, codecache.MaxModule)
}
