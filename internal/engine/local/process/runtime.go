package process

import (
	"context"
	"slices"

	"github.com/lateen-dev/lateen/internal/engine/pool"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// Runner is a runtime, the program that a process boots before it loads a function.
// All functions of a runtime share its blank processes.
type Runner struct {
	Name  string // unique name in logs: Node.js 24
	Eager bool   // downloaded before a function needs it
	Warm  bool   // needs the requests of [guest.WarmUp]
	// Watches means that a process receives descriptors from its child processes, to
	// learn when they listen.
	Watches bool
	Forks   bool // can be a zygote
	// Compiles means that a separate process compiles a function's code before the
	// first start.
	Compiles bool
	Offline  bool     // has only the loopback network
	Env      []string // variables besides those of every process
	BootVars []string // variables that a process reads only at boot
	// Find returns the command to execute. It may download the runtime first.
	Find func(ctx context.Context) (Command, error)

	Blanks *pool.Pool[*Process]
}

// Command is a program to execute, with paths of this host.
type Command struct {
	Path   string
	Args   []string
	Mounts []sandbox.Mount // besides those of every process
	Named  string          // path of the program that functions find by name; "": none
	// Interpreter is the program with arguments with which a relay executes the
	// function's entry; nil if the entry is a program.
	Interpreter []string
}

// BootEnv returns the variables of an environment that a process reads only at boot.
func (r *Runner) BootEnv(env map[string]string) []string {
	var special []string
	for _, name := range r.BootVars {
		if value, ok := env[name]; ok {
			special = append(special, name+"="+value)
		}
	}
	return special
}

// Forking returns the runtime with the flags that its processes need to fork. A
// forked process would lack the helper threads of V8, so there are none. V8's memory
// reducer is off, too: it counts the time in which a process waits to be forked as
// idle time, so each forked process would begin with a full garbage collection.
func (r *Runner) Forking(library string) *Runner {
	shaped := *r
	shaped.Name += " template"
	shaped.Find = func(ctx context.Context) (Command, error) {
		program, err := r.Find(ctx)
		program.Args = slices.Concat([]string{"--single-threaded", "--v8-pool-size=0", "--no-memory-reducer"}, program.Args)
		return program, err
	}
	shaped.Env = slices.Concat(r.Env, []string{"LD_PRELOAD=" + library})
	return &shaped
}
