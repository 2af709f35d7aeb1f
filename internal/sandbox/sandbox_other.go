//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/lateen-dev/lateen/internal/cgroup"
)

const (
	defaultTmpBytes = 512 << 20
	defaultMaxFiles = 4096
	defaultTasks    = 512
)

// attachRequest is unused on this system.
type attachRequest struct{}

func (s *Sandbox) detect() error {
	why := map[string]string{}
	for _, name := range []string{"user", "mounts", "processes", "network", "device", "names", "calls", "identity", "privileges"} {
		why[name] = "sandboxes are for Linux only, this is " + runtime.GOOS
	}
	s.layers = layersOf(why, s.groups)
	return nil
}

func (s *Sandbox) build(ctx context.Context, spec Spec, group *cgroup.Group) (*Process, error) {
	return s.fork(ctx, start{spec: spec, group: group})
}

func (s *Sandbox) launch(p *Process, req start) error {
	p.cmd = &exec.Cmd{
		Path: req.spec.Path, Args: append([]string{req.spec.Path}, req.spec.Args...), Env: req.spec.Env, Dir: "/",
		ExtraFiles: req.spec.Files,
	}
	if req.spec.Stdout != nil {
		p.cmd.Stdout = req.spec.Stdout
	}
	if req.spec.Stderr != nil {
		p.cmd.Stderr = req.spec.Stderr
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", req.spec.Path, err)
	}
	p.id = p.cmd.Process.Pid
	return nil
}

func (s *Sandbox) serveAttach(ctx context.Context) { <-ctx.Done() }

// Attach does nothing on this system: processes see the files of the host.
func (p *Process) Attach(string, string) error { return nil }

// Adopt is not supported on this system.
func (p *Process) Adopt(int) (*Process, error) { return nil, errors.ErrUnsupported }

// Zygotes returns an error: this system has none.
func (s *Sandbox) Zygotes() error { return errors.ErrUnsupported }

// Order is not supported on this system.
func (p *Process) Order() ([]byte, *os.File, error) { return nil, nil, errors.ErrUnsupported }

// Settle is not supported on this system.
func (p *Process) Settle(int) error { return errors.ErrUnsupported }

func (p *Process) signalLocked(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

func (p *Process) killLocked() error { return p.cmd.Process.Kill() }

func (p *Process) await() Exit {
	_ = p.cmd.Wait() // the state has the result
	return exitOf(p.cmd.ProcessState)
}

func foreground(int) error { return nil }

func mayRaisePriority() bool { return false }

// usageOf is unknown on this system.
func usageOf(int) Usage { return Usage{} }

func closeDescriptor(int) {}
