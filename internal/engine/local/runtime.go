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

// runner is a program that processes boot before they are functions. All
// functions with the same runtime draw from the same blank processes.
type runner struct {
	name  string // in logs, unique: Node.js 24
	eager bool   // fetched before a function asks for it
	warm  bool   // wants [guest.WarmUp]
	// watches says that a process takes descriptors of those that it starts, to
	// know when they listen.
	watches bool
	forks   bool // can be a zygote
	// compiles says that a function's code is compiled in a process of its own,
	// before the first process runs it.
	compiles bool
	offline  bool     // has no network but its own loopback
	env      []string // besides what every process has
	reads    []string // variables that count only when a process boots
	// find returns what to execute. It may take as long as a download.
	find func(ctx context.Context) (command, error)

	blanks *pool.Pool[*worker]
	shells *shells // ahead, for a zygote's children
}

// command is what to execute, in paths of this host.
type command struct {
	path   string
	args   []string
	mounts []sandbox.Mount // besides those that every process has
	named  string          // the program that functions find by its name; "": none
	// interpreter is what a relay executes the function's entry with, a program
	// and its arguments; nil where the entry is a program.
	interpreter []string
}

// findRunners returns all there are on this host, the first wanted first.
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
		r.shells = new(shells)
	}
	return all
}

// runner returns the one with that name, nil if there is none.
func (e *Engine) runner(name string) *runner {
	for _, r := range e.runners {
		if r.name == name {
			return r
		}
	}
	return nil
}

// runtimeFor returns what runs a function's runtime, and what its user should
// know about that.
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
		env:   []string{"NODE_ENV=production"},
		reads: []string{"NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "UV_THREADPOOL_SIZE"},
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
