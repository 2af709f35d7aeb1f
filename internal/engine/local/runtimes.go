package local

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// findRunners returns all runners of this host, the preferred one first.
func (e *Engine) findRunners() []*process.Runner {
	var all []*process.Runner
	versions := nodeVersions()
	for i := len(versions) - 1; i >= 0; i-- {
		all = append(all, e.node(versions[i]))
	}
	all = append(all, e.programs())
	all = append(all, e.bun(), e.webAssembly())
	for _, p := range e.pythons {
		all = append(all, p.runner(e))
	}
	return all
}

// runner returns the runner of that name; nil if there is none.
func (e *Engine) runner(name string) *process.Runner {
	for _, r := range e.runners {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// runtimeFor returns the runner of a function's runtime, and a notice for the
// function's log.
func (e *Engine) runtimeFor(f *lateen.Function) (r *process.Runner, notice string, err error) {
	if isProgram(f.Runtime) {
		return e.runner(programsName), "", nil
	}
	if f.Runtime == wasi.Runtime {
		return e.runner(modulesName), "", nil
	}
	if isBun(f.Runtime) {
		return e.runner(bunName), "", nil
	}
	if minor, ok := isPython(f.Runtime); ok {
		return e.pythonFor(minor)
	}
	major, notice, err := nodeFor(f.Runtime)
	if err != nil {
		return nil, "", err
	}
	return e.runner(nodeName(major)), notice, nil
}

// pythonFor returns the runner for a version of Python: the same version, or the
// next newer one, or else the newest one on this host.
func (e *Engine) pythonFor(minor int) (r *process.Runner, notice string, err error) {
	if len(e.pythons) == 0 {
		return nil, "", lateen.ErrFunctionRuntime.With("no Python found on this host for the runtime %q", fmt.Sprintf("python3.%d", minor)).
			WithHint("install one that is found on PATH, python3.%d to python3.%d: on Debian, `apt-get install python3`", oldestPython, newestPython)
	}
	use := e.pythons[0]
	for _, p := range e.pythons { // from the newest on
		if p.Minor >= minor && minor > 0 {
			use = p
		}
	}
	if minor > 0 && use.Minor != minor {
		notice = fmt.Sprintf("Python 3.%d is not on this host: this function runs on Python 3.%d", minor, use.Minor)
	}
	return e.runner(use.name()), notice, nil
}

// node is the runtime of a major version of Node.js.
func (e *Engine) node(major int) *process.Runner {
	return &process.Runner{
		Name: nodeName(major), Eager: true, Warm: true, Forks: true,
		Env:      []string{"NODE_ENV=production"},
		BootVars: []string{"NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "UV_THREADPOOL_SIZE"},
		Find: func(ctx context.Context) (process.Command, error) {
			node, err := e.o.Toolchain.Node(ctx, major)
			if err == nil {
				err = e.host.Reachable(filepath.Dir(node))
			}
			return process.Command{Path: node, Named: node, Args: []string{e.agent}, Mounts: []sandbox.Mount{
				{Host: node, Guest: guestNode},
				{Host: filepath.Dir(e.agent), Guest: guestAgent},
			}}, err
		},
	}
}

func nodeName(major int) string { return fmt.Sprintf("Node.js %d", major) }

// Paths of Node.js and of its agent in a sandbox with mounts.
const (
	guestNode  = sandbox.MountRoot + "/runtime/node"
	guestAgent = sandbox.MountRoot + "/runtime/agent"
)
