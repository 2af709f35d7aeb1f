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

// bootstrap is what AWS Lambda runs whatever the handler is called.
const bootstrap = "bootstrap"

// starter starts the program from a thread that nothing else uses and that
// lives as long as the process: listening is watched for what this thread
// starts, and the kernel ends that with this thread.
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

// start starts what spec names. Its output goes where the relay's goes.
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
		_ = cmd.Wait() // its state says how it ended
	}()
	return p, nil
}

// entry is the file to execute: the handler, or as AWS Lambda has it.
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

// startError says why a program that is there does not start.
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

// environment is what every process here has, then what the function sets,
// then what the platform says; of a name, the last counts.
func environment(spec guest.Activate, own []string) []string {
	env := os.Environ() //nolint:forbidigo // that of the sandbox, to pass on
	for name, value := range spec.Env {
		env = append(env, name+"="+value)
	}
	return append(append(env, "PWD="+spec.Root), own...)
}

func (p *program) terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) } // fails only where it has ended

func (p *program) kill() { _ = p.cmd.Process.Kill() } // as above

// end says how the program, which has ended, did that: in words, and as a
// status in the way of shells.
func (p *program) end() (how string, status int) {
	state := p.cmd.ProcessState
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return fmt.Sprintf("a signal killed it (%s)", s.Signal()), 128 + int(s.Signal())
	}
	return fmt.Sprintf("it exited with status %d", state.ExitCode()), state.ExitCode()
}
