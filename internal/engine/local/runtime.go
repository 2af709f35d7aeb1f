package local

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// runner is a runtime, the program that a process boots before it loads a function.
// All functions of a runtime share its blank processes.
type runner struct {
	name  string // unique name in logs: Node.js 24
	eager bool   // downloaded before a function needs it
	warm  bool   // needs the requests of [guest.WarmUp]
	// watches means that a process receives descriptors from its child processes, to
	// learn when they listen.
	watches bool
	forks   bool // can be a zygote
	// compiles means that a separate process compiles a function's code before the
	// first start.
	compiles bool
	offline  bool     // has only the loopback network
	env      []string // variables besides those of every process
	bootVars []string // variables that a process reads only at boot
	// find returns the command to execute. It may download the runtime first.
	find func(ctx context.Context) (command, error)

	blanks    *pool.Pool[*worker]
	sandboxes *emptySandboxes // empty sandboxes for processes that are forked from the zygote
}

// command is a program to execute, with paths of this host.
type command struct {
	path   string
	args   []string
	mounts []sandbox.Mount // besides those of every process
	named  string          // path of the program that functions find by name; "": none
	// interpreter is the program with arguments with which a relay executes the
	// function's entry; nil if the entry is a program.
	interpreter []string
}

// findRunners returns all runners of this host, the preferred one first.
func (e *Engine) findRunners() []*runner {
	var all []*runner
	versions := nodeVersions()
	for i := len(versions) - 1; i >= 0; i-- {
		all = append(all, e.node(versions[i]))
	}
	all = append(all, e.programs())
	all = append(all, e.bun(), e.webAssembly())
	for _, p := range e.pythons {
		all = append(all, p.runner(e))
	}
	for _, r := range all {
		r.sandboxes = new(emptySandboxes)
	}
	return all
}

// runner returns the runner of that name; nil if there is none.
func (e *Engine) runner(name string) *runner {
	for _, r := range e.runners {
		if r.name == name {
			return r
		}
	}
	return nil
}

// runtimeFor returns the runner of a function's runtime, and a notice for the
// function's log.
func (e *Engine) runtimeFor(f *lateen.Function) (r *runner, notice string, err error) {
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

// node is the runtime of a major version of Node.js.
func (e *Engine) node(major int) *runner {
	return &runner{
		name: nodeName(major), eager: true, warm: true, forks: true,
		env:      []string{"NODE_ENV=production"},
		bootVars: []string{"NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "UV_THREADPOOL_SIZE"},
		find: func(ctx context.Context) (command, error) {
			node, err := e.o.Toolchain.Node(ctx, major)
			if err == nil {
				err = e.reachable(filepath.Dir(node))
			}
			return command{path: node, named: node, args: []string{e.agent}, mounts: []sandbox.Mount{
				{Host: node, Guest: guestNode},
				{Host: filepath.Dir(e.agent), Guest: guestAgent},
			}}, err
		},
	}
}

func nodeName(major int) string { return fmt.Sprintf("Node.js %d", major) }
