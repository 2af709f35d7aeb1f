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

// Freeze stops all processes of the group. It returns once the kernel has the request;
// each process stops at its next system call at the latest.
func (g *Group) Freeze() error { return g.setFrozen(true) }

// Thaw resumes the processes of the group.
func (g *Group) Thaw() error { return g.setFrozen(false) }

func (g *Group) setFrozen(frozen bool) error {
	b := g.tree.serves[Freezer]
	if b == nil {
		return errors.ErrUnsupported
	}
	word := map[bool]string{true: "1", false: "0"}
	if b.version == 1 {
		word = map[bool]string{true: "FROZEN", false: "THAWED"}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.freeze < 0 {
		return fs.ErrClosed
	}
	if _, err := unix.Pwrite(g.freeze, []byte(word[frozen]), 0); err != nil {
		return fmt.Errorf("set a cgroup to %s: %w", word[frozen], err)
	}
	return nil
}

// Reclaim moves the memory of the group to swap, as far as the kernel agrees. Without
// swap the error is [errors.ErrUnsupported].
func (g *Group) Reclaim() error {
	b := g.tree.serves[Memory]
	if b == nil || !g.tree.swap {
		return errors.ErrUnsupported
	}
	g.mu.Lock()
	now, err := number(g.memory)
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
// these may have forked in the meantime: see [Group.End].
func (g *Group) Kill() error {
	err := g.killAtOnce()
	if errors.Is(err, errors.ErrUnsupported) {
		_, err = g.killEach()
	}
	return err
}

// End kills until the group has no processes. It takes a moment where the kernel has no
// cgroup.kill.
func (g *Group) End() error {
	if err := g.killAtOnce(); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	const rounds = 100 // each kills at least the oldest process
	for range rounds {
		if found, err := g.killEach(); found == 0 || err != nil {
			return err
		}
		<-time.After(time.Millisecond) // they end when they are scheduled next
	}
	return nil
}

// killAtOnce has the kernel kill the group; [errors.ErrUnsupported] where it cannot.
func (g *Group) killAtOnce() error {
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

// processes returns the ids of the processes of the group in this process namespace.
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
