package relay

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/lateen-dev/lateen/internal/guest"
)

// bootstrap is the program that AWS Lambda runs, regardless of the handler's name.
const bootstrap = "bootstrap"

// starter starts the program from a thread that runs nothing else and lasts as long as
// the process: the watch covers the descendants of this thread, and the kernel kills
// the program when this thread ends.
type starter struct {
	watch *watch
	jobs  chan *exec.Cmd
	done  chan error
}

func newStarter() *starter {
	s := &starter{jobs: make(chan *exec.Cmd), done: make(chan error)}
	watching := make(chan *watch)
	go func() {
		runtime.LockOSThread()
		watching <- newWatch()
		for cmd := range s.jobs {
			s.done <- cmd.Start()
		}
	}()
	s.watch = <-watching
	go s.watch.run()
	return s
}

// program is the function's own process.
type program struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended
}

// start starts the program of spec. The program inherits the relay's output.
func (s *starter) start(spec guest.Activate, env []string) (*program, error) {
	path, err := entry(spec)
	if err != nil {
		return nil, err
	}
	args := append(slices.Clone(spec.Interpreter), path)
	cmd := &exec.Cmd{
		Path: args[0], Args: args, Dir: spec.Root, Env: environment(spec, env),
		Stdout: os.Stdout, Stderr: os.Stderr, SysProcAttr: attributes(),
	}
	s.jobs <- cmd
	if err := <-s.done; err != nil {
		return nil, startError(spec, path, err)
	}
	p := &program{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the state has the result
	}()
	return p, nil
}

// entry returns the file to execute: the handler, or bootstrap as in AWS Lambda.
func entry(spec guest.Activate) (string, error) {
	for _, name := range []string{spec.Handler, bootstrap} {
		path := filepath.Join(spec.Root, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			if len(spec.Interpreter) == 0 && info.Mode()&0o111 == 0 {
				return "", fmt.Errorf("%s is not executable: build it with its mode, `chmod +x`", name)
			}
			return path, nil
		}
	}
	return "", fmt.Errorf("the program %s is not among the function's files", spec.Handler)
}

// startError explains why an existing program does not start.
func startError(spec guest.Activate, path string, err error) error {
	name := strings.TrimPrefix(path, spec.Root+"/")
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s is no program for %s on %s: build it for this machine", name, runtime.GOARCH, runtime.GOOS)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%s needs an interpreter or loader that is not here: link it statically, CGO_ENABLED=0 for Go", name)
	default:
		return fmt.Errorf("%s could not be started: %w", name, err)
	}
}

// environment is the environment of the sandbox, then the variables of the function,
// then those of the platform; the last value of a name is in effect.
func environment(spec guest.Activate, own []string) []string {
	env := os.Environ() //nolint:forbidigo // that of the sandbox, to pass on
	for name, value := range spec.Env {
		env = append(env, name+"="+value)
	}
	return append(append(env, "PWD="+spec.Root), own...)
}

func (p *program) terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) } // fails only if it has ended

func (p *program) kill() { _ = p.cmd.Process.Kill() } // as above

// end describes the exit of the program, which has ended: in words, and as a status
// above 128 for a signal, as shells do.
func (p *program) end() (how string, status int) {
	state := p.cmd.ProcessState
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return fmt.Sprintf("a signal killed it (%s)", s.Signal()), 128 + int(s.Signal())
	}
	return fmt.Sprintf("it exited with status %d", state.ExitCode()), state.ExitCode()
}
