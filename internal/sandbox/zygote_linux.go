package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/sandbox/child"
)

// namespaceFlags are the namespaces of a sandbox with all layers.
const namespaceFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Zygotes returns nil if this host permits zygotes, or an error with the reason.
//
// The creator of a user namespace has all rights in it, unless the creator is in a user
// namespace itself, so a zygote must not be in one. Without one, only root can create a
// mount namespace, and a zygote needs one: its children inherit the program's file, and
// could change its mode through the host's mount of it.
func (s *Sandbox) Zygotes() error {
	all := child.Mode{User: true, Mounts: true, Processes: true, Network: true, Names: true, Calls: true, Identity: true}
	have := s.permits
	have.Device = false
	switch {
	case have == all:
		return nil
	case !have.Identity:
		return errors.New("Lateen was not started by root") //nolint:staticcheck // a name
	default:
		return errors.New("layers of the sandbox are missing")
	}
}

// modeOf returns the layers that a child builds for spec.
func (s *Sandbox) modeOf(spec Spec) child.Mode {
	if spec.Zygote {
		return child.Mode{Mounts: true, Network: true, Names: true}
	}
	return s.mode
}

// Order returns a request for a zygote to fork a child into the empty sandbox p: a
// message, and the descriptor to send last of those of the message
// (guest/native/zygote.c). The caller closes the descriptor.
func (p *Process) Order() ([]byte, *os.File, error) {
	filter := child.Filter()
	message := binary.NativeEndian.AppendUint32(nil, namespaceFlags)
	message = binary.NativeEndian.AppendUint32(message, insideID)
	message = binary.NativeEndian.AppendUint32(message, uint32(len(filter))) //nolint:gosec // a few hundred
	message, err := binary.Append(message, binary.NativeEndian, filter)
	if err != nil {
		return nil, nil, fmt.Errorf("write the filter of system calls: %w", err)
	}
	keeper, err := unix.FcntlInt(uintptr(p.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("duplicate the pidfd of process %d: %w", p.id, err)
	}
	return message, os.NewFile(uintptr(keeper), "pidfd"), nil
}

// Settle makes a process that a zygote has forked into p, given its id on this host,
// p's program: it moves to p's cgroup. Settle refuses ids of processes outside p's
// namespace.
func (p *Process) Settle(pid int) error {
	pidNamespace, err := pidNamespaceOf(pid)
	if err == nil && (pidNamespace != p.pidNamespace || p.pidNamespace == 0 || pid == p.id) {
		err = errors.New("it belongs to another process namespace")
	}
	if err == nil {
		err = p.group.Add(pid)
	}
	if err != nil {
		return fmt.Errorf("settle process %d: %w", pid, err)
	}
	return nil
}
