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

// Limits bound a group. A limit without a controller on the host has no effect.
type Limits struct {
	Memory int64   // bytes of processes and of files in memory; 0: unlimited
	CPU    float64 // CPUs; 0: unlimited
	Tasks  int     // processes and threads; 0: unlimited
}

// Usage is the resource usage of a group.
type Usage struct {
	CPU    time.Duration // CPU time since the group was created
	Memory int64         // bytes in use now
	Peak   int64         // maximum of Memory since the last call of Limit
}

const period = 100 * time.Millisecond // period of the kernel's CPU quota

// Group is a group of processes. Its methods may be called concurrently.
type Group struct {
	tree *Tree
	dirs map[*branch]string

	mu     sync.Mutex // guards the fields below
	cpu    int        // file descriptors of open files; -1: no file
	memory int
	peak   int
	freeze int
	limits *Limits // limits in effect; nil: unknown
}

// New creates a group without processes. It keeps the files of frequent operations
// open.
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
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) { // older kernels have a read-only memory.peak
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

// path returns the path of a controller's file, which has the name v1 in version 1 and v2
// in version 2; false if the host lacks the controller or the version lacks the file.
func (g *Group) path(c Controller, v1, v2 string) (string, bool) {
	b := g.tree.branchOf[c]
	if b == nil {
		return "", false
	}
	if b.version == 2 {
		v1 = v2
	}
	return filepath.Join(g.dirs[b], v1), v1 != ""
}

// Add moves a process and all its threads into the group. Processes that it forks
// afterwards are in the group, too.
func (g *Group) Add(pid int) error {
	for _, dir := range g.dirs {
		if err := write(dir, "cgroup.procs", int64(pid)); err != nil {
			return fmt.Errorf("move process %d into a cgroup: %w", pid, err)
		}
	}
	return nil
}

// Limit sets the limits and resets the peak. It writes only changed values, since some
// of these writes are expensive in the kernel.
func (g *Group) Limit(l Limits) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.peak >= 0 {
		_, _ = unix.Pwrite(g.peak, []byte("0"), 0) // a kernel that cannot reset it reports the peak since the creation of the group
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

func (g *Group) limitMemory(maximum int64) error {
	b := g.tree.branchOf[Memory]
	if b == nil {
		return nil
	}
	dir := g.dirs[b]
	if b.version == 1 {
		return limitMemoryV1(dir, maximum)
	}
	// The kernel kills all processes or none: a function needs its whole process tree.
	err := errors.Join(setFile(dir, "memory.max", maximum, "max"), write(dir, "memory.oom.group", 1))
	if swap := setFile(dir, "memory.swap.max", maximum, "max"); !errors.Is(swap, fs.ErrNotExist) {
		err = errors.Join(err, swap)
	}
	return err
}

// limitMemoryV1 sets the same limit for memory, and for memory with swap where the
// kernel counts swap. The second limit must never be below the first.
func limitMemoryV1(dir string, maximum int64) error {
	const swap = "memory.memsw.limit_in_bytes"
	lifted := setFile(dir, swap, 0, "-1")
	err := setFile(dir, "memory.limit_in_bytes", maximum, "-1")
	if errors.Is(lifted, fs.ErrNotExist) { // a kernel with swapaccount=0
		return err
	}
	return errors.Join(lifted, err, setFile(dir, swap, maximum, "-1"))
}

func (g *Group) limitCPU(maximum float64) error {
	b := g.tree.branchOf[CPU]
	if b == nil {
		return nil
	}
	dir, quota := g.dirs[b], int64(maximum*float64(period.Microseconds()))
	if maximum > 0 {
		quota = max(quota, 1000) // the kernel's minimum
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

func (g *Group) limitTasks(maximum int) error {
	b := g.tree.branchOf[Tasks]
	if b == nil {
		return nil
	}
	return setFile(g.dirs[b], "pids.max", int64(maximum), "max")
}

// setFile writes a limit; for the limit 0 it writes none, the file's word for no limit.
func setFile(dir, file string, value int64, none string) error {
	if value > 0 {
		return write(dir, file, value)
	}
	return writeText(dir, file, none)
}

// Background sets whether the group is idle for the scheduler (cpu.idle, Linux 5.15): its
// processes run only while no process of another group of the tree can run. On older
// kernels an idle group has the weight [backgroundWeight] instead.
func (g *Group) Background(on bool) error {
	b := g.tree.branchOf[CPU]
	if b == nil {
		return errors.ErrUnsupported
	}
	idle, weight := int64(0), 1.0
	if on {
		idle, weight = 1, backgroundWeight
	}
	err := write(g.dirs[b], "cpu.idle", idle)
	if errors.Is(err, fs.ErrNotExist) {
		return b.setWeight(g.dirs[b], weight)
	}
	return err
}

// backgroundWeight is the weight of a group in the background; the default is 1.
const backgroundWeight = 0.05

// Usage reads the usage of the group; values without a controller are 0. It reads three
// open files.
func (g *Group) Usage() (Usage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cpu, err := g.cpuLocked()
	memory, memoryErr := readNumberAt(g.memory)
	peak, peakErr := readNumberAt(g.peak)
	return Usage{CPU: cpu, Memory: memory, Peak: max(peak, memory)}, errors.Join(err, memoryErr, peakErr)
}

// CPU reads the CPU time of the group: one read of an open file.
func (g *Group) CPU() (time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cpuLocked()
}

func (g *Group) cpuLocked() (time.Duration, error) {
	if b := g.tree.branchOf[Accounting]; b == nil || b.version == 1 {
		n, err := readNumberAt(g.cpu)
		return time.Duration(n), err
	}
	var buffer [256]byte // usage_usec is the first line
	n, err := read(g.cpu, buffer[:])
	if err != nil {
		return 0, err
	}
	usec, err := keyedNumber(buffer[:n], "usage_usec")
	return time.Duration(usec) * time.Microsecond, err
}

// OutOfMemory reports whether the kernel has killed a process of the group at its
// memory limit.
func (g *Group) OutOfMemory() bool {
	path, ok := g.path(Memory, "memory.oom_control", "memory.events")
	if !ok {
		return false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	killed, err := keyedNumber(text, "oom_kill")
	return err == nil && killed > 0
}

// keyedNumber returns the number of a key in a flat keyed file (cgroup-v2.rst).
func keyedNumber(text []byte, name string) (int64, error) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			return strconv.ParseInt(string(bytes.TrimSpace(rest)), 10, 64)
		}
	}
	return 0, fmt.Errorf("no key %s in %q", name, text)
}

// readNumberAt reads a file that consists of one number; 0 for the descriptor -1.
func readNumberAt(fd int) (int64, error) {
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
		return 0, fmt.Errorf("read the usage of a cgroup: %w", err)
	}
	return n, nil
}

// Close removes the group, whose processes must have been killed. Afterwards only Close
// may be called.
func (g *Group) Close() error {
	g.mu.Lock()
	for _, fd := range []*int{&g.cpu, &g.memory, &g.peak, &g.freeze} {
		if *fd >= 0 {
			_ = unix.Close(*fd) // an error of Close loses nothing: the kernel applies each write at once
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
