package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/sandbox/child"
)

// spaces are the namespaces of a sandbox all of whose walls stand.
const spaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Zygotes returns an error that says why this host permits no zygotes, or nil.
//
// Whoever has made a user namespace has all rights in it, as long as it is not
// in one itself. A zygote must not be in one, then; and without one it takes
// root to have mounts of one's own, which it must have: children keep the
// program's file, and could change its mode through the host's mount of it.
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

// modeOf is which walls a child builds for spec.
func (s *Sandbox) modeOf(spec Spec) child.Mode {
	if spec.Zygote {
		return child.Mode{Mounts: true, Network: true, Names: true}
	}
	return s.mode
}

// Order returns what to tell a zygote, so that it forks a child into p, which
// stands empty: a message, and the descriptor that comes last of those that go
// with it (guest/native/zygote.c). The caller closes that.
func (p *Process) Order() ([]byte, *os.File, error) {
	filter := child.Filter()
	message := binary.NativeEndian.AppendUint32(nil, spaces)
	message = binary.NativeEndian.AppendUint32(message, insideID)
	message = binary.NativeEndian.AppendUint32(message, uint32(len(filter))) //nolint:gosec // some hundred
	message, err := binary.Append(message, binary.NativeEndian, filter)
	if err != nil {
		return nil, nil, fmt.Errorf("write the filter of system calls: %w", err)
	}
	keeper, err := unix.FcntlInt(uintptr(p.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("hand over process %d: %w", p.id, err)
	}
	return message, os.NewFile(uintptr(keeper), "pidfd"), nil
}

// Settle makes the process that a zygote has forked into p, by its id on this
// host, p's program: it moves to p's group. Ids of processes that are not in
// p's namespace are refused.
func (p *Process) Settle(pid int) error {
	space, err := processSpace(pid)
	if err == nil && (space != p.space || p.space == 0 || pid == p.id) {
		err = errors.New("it is another's")
	}
	if err == nil {
		err = p.group.Enter(pid)
	}
	if err != nil {
		return fmt.Errorf("settle process %d: %w", pid, err)
	}
	return nil
}
