package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound a group. What the host has no controller for stays unbounded.
type Limits struct {
	Memory int64   // bytes, of programs and of files in memory; 0: no bound
	CPU    float64 // CPUs; 0: no bound
	Tasks  int     // processes and threads; 0: no bound
}

// Usage is what a group has used.
type Usage struct {
	CPU    time.Duration // since it was made
	Memory int64         // bytes now
	Peak   int64         // the most Memory was since its memory was last limited
}

const period = 100 * time.Millisecond // over which the kernel bounds CPU time

// Group is a group of processes. Its methods may be called concurrently.
type Group struct {
	tree *Tree
	dirs map[*branch]string

	mu     sync.Mutex // guards below; the files are -1 where there is no such thing
	cpu    int
	memory int
	peak   int
	freeze int
	limits *Limits // that stand; nil: nobody knows
}

// New makes a group without processes. Its descriptors are few, and stay open
// for what is done often.
func (t *Tree) New(name string) (*Group, error) {
	g := &Group{tree: t, dirs: map[*branch]string{}, cpu: -1, memory: -1, peak: -1, freeze: -1, limits: &Limits{}}
	for _, b := range t.branches {
		dir := filepath.Join(b.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, g.Close())
		}
		g.dirs[b] = dir
	}
	files := []struct {
		fd         *int
		controller Controller
		v1, v2     string
		flags      int
	}{
		{&g.cpu, Accounting, "cpuacct.usage", "cpu.stat", unix.O_RDONLY},
		{&g.memory, Memory, "memory.usage_in_bytes", "memory.current", unix.O_RDONLY},
		{&g.peak, Memory, "memory.max_usage_in_bytes", "memory.peak", unix.O_RDWR},
		{&g.freeze, Freezer, "freezer.state", "cgroup.freeze", unix.O_RDWR},
	}
	for _, f := range files {
		path, ok := g.path(f.controller, f.v1, f.v2)
		if !ok {
			continue
		}
		fd, err := unix.Open(path, f.flags|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) { // memory.peak was not for writing once
			fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		if errors.Is(err, unix.ENOENT) {
			continue // an older kernel
		}
		if err != nil {
			return nil, errors.Join(&fs.PathError{Op: "open", Path: path, Err: err}, g.Close())
		}
		*f.fd = fd
	}
	return g, nil
}

// path returns where a file of a controller lies, by the version that serves it.
func (g *Group) path(c Controller, v1, v2 string) (string, bool) {
	b := g.tree.serves[c]
	if b == nil {
		return "", false
	}
	if b.version == 2 {
		v1 = v2
	}
	return filepath.Join(g.dirs[b], v1), v1 != ""
}

// Enter moves a process and all its threads into the group. What it starts
// from then on is in it, too.
func (g *Group) Enter(pid int) error {
	for _, dir := range g.dirs {
		if err := write(dir, "cgroup.procs", int64(pid)); err != nil {
			return fmt.Errorf("move process %d into a group: %w", pid, err)
		}
	}
	return nil
}

// Limit sets the bounds and forgets the peak so far. It writes what has changed
// alone: some of it costs the kernel more than a write seems to.
func (g *Group) Limit(l Limits) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.peak >= 0 {
		_, _ = unix.Pwrite(g.peak, []byte("0"), 0) // a kernel that cannot forget it tells of all
	}
	var err error
	if g.limits == nil || g.limits.Memory != l.Memory {
		err = g.limitMemory(l.Memory)
	}
	if g.limits == nil || g.limits.CPU != l.CPU {
		err = errors.Join(err, g.limitCPU(l.CPU))
	}
	if g.limits == nil || g.limits.Tasks != l.Tasks {
		err = errors.Join(err, g.limitTasks(l.Tasks))
	}
	if g.limits = &l; err != nil {
		g.limits = nil
	}
	return err
}

func (g *Group) limitMemory(most int64) error {
	b := g.tree.serves[Memory]
	if b == nil {
		return nil
	}
	dir := g.dirs[b]
	if b.version == 1 {
		return limitMemory1(dir, most)
	}
	// One is killed, all are: half a process tree is no function.
	err := errors.Join(setFile(dir, "memory.max", most, "max"), write(dir, "memory.oom.group", 1))
	if swap := setFile(dir, "memory.swap.max", most, "max"); !errors.Is(swap, fs.ErrNotExist) {
		err = errors.Join(err, swap)
	}
	return err
}

// limitMemory1 bounds memory alone and memory with swap to the same, where the
// kernel counts swap. The second bound is never to be below the first.
func limitMemory1(dir string, most int64) error {
	const swap = "memory.memsw.limit_in_bytes"
	lifted := setFile(dir, swap, 0, "-1")
	err := setFile(dir, "memory.limit_in_bytes", most, "-1")
	if errors.Is(lifted, fs.ErrNotExist) { // a kernel with swapaccount=0
		return err
	}
	return errors.Join(lifted, err, setFile(dir, swap, most, "-1"))
}

func (g *Group) limitCPU(most float64) error {
	b := g.tree.serves[CPU]
	if b == nil {
		return nil
	}
	dir, quota := g.dirs[b], int64(most*float64(period.Microseconds()))
	if most > 0 {
		quota = max(quota, 1000) // the kernel's least
	}
	if b.version == 1 {
		return setFile(dir, "cpu.cfs_quota_us", quota, "-1")
	}
	limit := "max"
	if quota > 0 {
		limit = strconv.FormatInt(quota, 10)
	}
	return os.WriteFile(filepath.Join(dir, "cpu.max"), fmt.Appendf(nil, "%s %d", limit, period.Microseconds()), 0)
}

func (g *Group) limitTasks(most int) error {
	b := g.tree.serves[Tasks]
	if b == nil {
		return nil
	}
	return setFile(g.dirs[b], "pids.max", int64(most), "max")
}

// setFile writes a bound, or the word for none if it is 0.
func setFile(dir, file string, value int64, none string) error {
	if value > 0 {
		return write(dir, file, value)
	}
	return writeText(dir, file, none)
}

// Background has the group's processes run on processor time that no other
// group of the tree wants, or ends that. They stop running as soon as a process
// of another group can run (cpu.idle, Linux 5.15). An older kernel gives the
// group the weight of [backgroundWeight] instead.
func (g *Group) Background(on bool) error {
	b := g.tree.serves[CPU]
	if b == nil {
		return errors.ErrUnsupported
	}
	idle, weight := int64(0), 1.0
	if on {
		idle, weight = 1, backgroundWeight
	}
	err := write(g.dirs[b], "cpu.idle", idle)
	if errors.Is(err, fs.ErrNotExist) {
		return b.weigh(g.dirs[b], weight)
	}
	return err
}

// backgroundWeight is the weight of a group in the background, of a usual one's.
const backgroundWeight = 0.05

// Usage reads what the group has used; what nobody measures is 0. It costs a
// read of three open files.
func (g *Group) Usage() (Usage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cpu, err := g.cpuLocked()
	memory, memoryErr := number(g.memory)
	peak, peakErr := number(g.peak)
	return Usage{CPU: cpu, Memory: memory, Peak: max(peak, memory)}, errors.Join(err, memoryErr, peakErr)
}

// CPU reads the CPU time that the group has used: one read of an open file.
func (g *Group) CPU() (time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cpuLocked()
}

func (g *Group) cpuLocked() (time.Duration, error) {
	if b := g.tree.serves[Accounting]; b == nil || b.version == 1 {
		n, err := number(g.cpu)
		return time.Duration(n), err
	}
	var buffer [256]byte // usage_usec is the first line
	n, err := read(g.cpu, buffer[:])
	if err != nil {
		return 0, err
	}
	usec, err := entry(buffer[:n], "usage_usec")
	return time.Duration(usec) * time.Microsecond, err
}

// OutOfMemory reports whether the kernel has killed a process of the group
// because the group had reached its bound.
func (g *Group) OutOfMemory() bool {
	path, ok := g.path(Memory, "memory.oom_control", "memory.events")
	if !ok {
		return false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	killed, err := entry(text, "oom_kill")
	return err == nil && killed > 0
}

// entry returns the number behind a name in a file of such pairs.
func entry(text []byte, name string) (int64, error) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			return strconv.ParseInt(string(bytes.TrimSpace(rest)), 10, 64)
		}
	}
	return 0, fmt.Errorf("there is no %s in %q", name, text)
}

func number(fd int) (int64, error) {
	if fd < 0 {
		return 0, nil
	}
	var buffer [32]byte
	n, err := read(fd, buffer[:])
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(bytes.TrimSpace(buffer[:n])), 10, 64)
}

func read(fd int, into []byte) (int, error) {
	if fd < 0 {
		return 0, errors.ErrUnsupported
	}
	n, err := unix.Pread(fd, into, 0)
	if err != nil {
		return 0, fmt.Errorf("read the usage of a group: %w", err)
	}
	return n, nil
}

// Close removes the group, whose processes have been killed, if it had any.
// Nothing may be done with it afterwards but to close it again.
func (g *Group) Close() error {
	g.mu.Lock()
	for _, fd := range []*int{&g.cpu, &g.memory, &g.peak, &g.freeze} {
		if *fd >= 0 {
			_ = unix.Close(*fd) // it was read from, or written without delay
			*fd = -1
		}
	}
	g.mu.Unlock()
	var errs []error
	for _, dir := range g.dirs {
		errs = append(errs, remove(dir))
	}
	return errors.Join(errs...)
}
