package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/sandbox/child"
)

// visit is something to be put into the mounts of a process.
type visit struct {
	process *Process
	tree    *os.File
	guest   string
	result  chan error
}

// Attach shows the process a file or directory of the host, read-only, at one
// of the places that it was started with: once for each, and not after it has
// run what is not trusted. Where processes have no root of their own it does
// nothing: they see the host's.
func (p *Process) Attach(host, guest string) error {
	if !p.sandbox.mode.Mounts {
		return nil
	}
	if err := p.take(guest); err != nil {
		return err
	}
	var err error
	if os.Geteuid() == 0 {
		err = p.attach(host, guest)
	} else {
		err = p.attachByKeeper(host, guest)
	}
	if err != nil {
		return fmt.Errorf("attach %s at %s: %w", host, guest, err)
	}
	return nil
}

// take claims a place.
func (p *Process) take(guest string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.attached[guest] || !slices.ContainsFunc(p.late, func(l Place) bool { return l.Guest == guest }) {
		return fmt.Errorf("there is no free place at %s", guest)
	}
	p.attached[guest] = true
	return nil
}

// attach has the visitor do it, a thread that belongs to nobody's mounts.
func (p *Process) attach(host, guest string) error {
	tree, err := child.OpenTree(host)
	if err != nil {
		return err
	}
	defer tree.Close()
	v := visit{p, tree, guest, make(chan error, 1)}
	select {
	case p.sandbox.visits <- v:
		return <-v.result
	case <-p.sandbox.ended:
		return ErrEnded
	}
}

// visit serves those who want something attached.
func (s *Sandbox) visit(ctx context.Context) {
	runtime.LockOSThread() // and the thread ends with it: it is not like others
	home, err := os.Open("/proc/thread-self/ns/mnt")
	if err == nil {
		defer home.Close()
		err = unix.Unshare(unix.CLONE_FS)
	}
	for {
		select {
		case v := <-s.visits:
			if err == nil {
				v.result <- v.pay(home)
			} else {
				v.result <- fmt.Errorf("prepare for it: %w", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// pay does it and returns to the mounts of the host, so that those of the
// process end with it.
func (v visit) pay(home *os.File) error {
	if err := unix.Setns(v.process.pidfd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the mounts of process %d: %w", v.process.id, err)
	}
	err := unix.MoveMount(int(v.tree.Fd()), "", unix.AT_FDCWD, v.guest, unix.MOVE_MOUNT_F_EMPTY_PATH)
	return errors.Join(err, unix.Setns(int(home.Fd()), unix.CLONE_NEWNS))
}

// attachByKeeper has a process do it that becomes superuser of the other's
// namespace, as a plain user's process of many threads cannot.
func (p *Process) attachByKeeper(host, guest string) error {
	pidfd, err := unix.FcntlInt(uintptr(p.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(pidfd), "pidfd")
	defer file.Close()
	var said bytes.Buffer
	cmd := &exec.Cmd{
		Path: fmt.Sprintf("/proc/self/fd/%d", p.sandbox.keeper.Fd()), Args: []string{"keeper", "attach", host, guest}, Env: []string{},
		Dir: "/", Stderr: &said, ExtraFiles: []*os.File{file},
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}
