package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Freeze freezes all processes of the group. It does not wait until they have stopped.
func (g *Group) Freeze() error { return g.setFrozen(true) }

// Thaw resumes the processes of the group.
func (g *Group) Thaw() error { return g.setFrozen(false) }

func (g *Group) setFrozen(frozen bool) error {
	b := g.tree.branchOf[Freezer]
	if b == nil {
		return errors.ErrUnsupported
	}
	value := map[bool]string{true: "1", false: "0"}[frozen]
	if b.version == 1 {
		value = map[bool]string{true: "FROZEN", false: "THAWED"}[frozen]
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.freeze < 0 {
		return fs.ErrClosed
	}
	if _, err := unix.Pwrite(g.freeze, []byte(value), 0); err != nil {
		return fmt.Errorf("write %s to the freezer of a cgroup: %w", value, err)
	}
	return nil
}

// Reclaim moves the memory of the group to swap, as far as the kernel agrees. Without
// swap the error is [errors.ErrUnsupported].
func (g *Group) Reclaim() error {
	b := g.tree.branchOf[Memory]
	if b == nil || !g.tree.swap {
		return errors.ErrUnsupported
	}
	g.mu.Lock()
	now, err := readNumberAt(g.memory)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	file, value := "memory.reclaim", now
	if b.version == 1 {
		file, value = "memory.force_empty", 0
	}
	err = write(g.dirs[b], file, value)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.ErrUnsupported
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY):
		return nil // the kernel reclaimed a part
	default:
		return err
	}
}

// Kill kills all processes of the group, frozen ones too, without waiting for their
// end. Where the kernel has no cgroup.kill, it kills one process after the other, and
// these may have forked in the meantime: see [Group.KillAll].
func (g *Group) Kill() error {
	err := g.killGroup()
	if errors.Is(err, errors.ErrUnsupported) {
		_, err = g.killEach()
	}
	return err
}

// KillAll kills all processes of the group, and those that they fork in the meantime.
// Without cgroup.kill it waits some milliseconds until the group is empty.
func (g *Group) KillAll() error {
	if err := g.killGroup(); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	const attempts = 100 // bounds a group whose processes fork faster than they are killed
	for range attempts {
		if found, err := g.killEach(); found == 0 || err != nil {
			return err
		}
		<-time.After(time.Millisecond) // they end when they are scheduled next
	}
	return nil
}

// killGroup kills the group by cgroup.kill; [errors.ErrUnsupported] without that file.
func (g *Group) killGroup() error {
	for b, dir := range g.dirs {
		if b.version != 2 {
			continue
		}
		if err := write(dir, "cgroup.kill", 1); !errors.Is(err, fs.ErrNotExist) { // added in Linux 5.14
			return err
		}
	}
	return errors.ErrUnsupported
}

// killEach kills one process after the other and returns their number.
func (g *Group) killEach() (found int, err error) {
	pids, err := g.processes()
	if err != nil || len(pids) == 0 {
		return 0, err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	if err := g.Thaw(); err != nil && !errors.Is(err, errors.ErrUnsupported) { // version 1 ends killed processes only when they are thawed
		return 0, err
	}
	return len(pids), nil
}

// processes returns the ids of the processes of the group in this PID namespace.
func (g *Group) processes() ([]int, error) {
	for _, dir := range g.dirs {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return nil, err
		}
		var pids []int
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return pids, nil
	}
	return nil, nil
}
