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

// attachRequest is a request to mount a tree in the mount namespace of a process.
type attachRequest struct {
	process *Process
	tree    *os.File
	guest   string
	result  chan error
}

// Attach mounts a file or directory of the host, read-only, at one of the places in
// [Spec.Late]: once for each place, and only before the process has run untrusted code.
// Where processes have no root of their own it does nothing: they see the host's root.
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

// take reserves a place.
func (p *Process) take(guest string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.attached[guest] || !slices.ContainsFunc(p.late, func(l Place) bool { return l.Guest == guest }) {
		return fmt.Errorf("no free mount point at %s", guest)
	}
	p.attached[guest] = true
	return nil
}

// attach has the thread of visit mount the tree: that thread shares no file system
// attributes with other threads, as setns(2) requires.
func (p *Process) attach(host, guest string) error {
	tree, err := child.OpenTree(host)
	if err != nil {
		return err
	}
	defer tree.Close()
	v := attachRequest{p, tree, guest, make(chan error, 1)}
	select {
	case p.sandbox.attachRequests <- v:
		return <-v.result
	case <-p.sandbox.ended:
		return ErrEnded
	}
}

// serveAttach serves the requests of attach.
func (s *Sandbox) serveAttach(ctx context.Context) {
	runtime.LockOSThread() // never unlocked: the thread has other attributes, so it ends with this goroutine
	home, err := os.Open("/proc/thread-self/ns/mnt")
	if err == nil {
		defer home.Close()
		err = unix.Unshare(unix.CLONE_FS)
	}
	for {
		select {
		case v := <-s.attachRequests:
			if err == nil {
				v.result <- v.mountTree(home)
			} else {
				v.result <- fmt.Errorf("unshare the file system attributes: %w", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// mountTree mounts the tree and returns to the mount namespace of the host, so that this
// thread does not keep the namespace of the process alive.
func (v attachRequest) mountTree(home *os.File) error {
	if err := unix.Setns(v.process.pidfd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the mounts of process %d: %w", v.process.id, err)
	}
	err := unix.MoveMount(int(v.tree.Fd()), "", unix.AT_FDCWD, v.guest, unix.MOVE_MOUNT_F_EMPTY_PATH)
	return errors.Join(err, unix.Setns(int(home.Fd()), unix.CLONE_NEWNS))
}

// attachByKeeper runs the keeper, which becomes superuser of the process's user
// namespace. The multithreaded process of a plain user cannot enter a user namespace.
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
