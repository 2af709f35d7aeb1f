// Package cgroup limits, measures, freezes and kills groups of processes by Linux
// control groups of version 2, of version 1, and on hosts that mount both. It writes
// only below the group in which this process was started, or the nearest writable group
// above it.
package cgroup

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Controller is a capability of control groups.
type Controller string

// The controllers.
const (
	Memory     Controller = "memory"  // limit and usage of memory
	CPU        Controller = "cpu"     // weight and limit of CPU time
	Accounting Controller = "cpuacct" // CPU time used
	Tasks      Controller = "pids"    // limit of processes and threads
	Freezer    Controller = "freezer" // stopping and resuming processes
)

func controllers() []Controller { return []Controller{Memory, CPU, Accounting, Tasks, Freezer} }

// Options are the settings of a [Tree].
type Options struct {
	// Name is the prefix of the directories of the tree. Required.
	Name string
	// Root is the directory that replaces "/" in the search for this process's groups
	// and their mounts; "" is "/".
	Root string
}

// Tree is a directory for groups with a single owner. A lock protects it while it is
// open; the next owner with the same name removes the tree of an owner that died.
type Tree struct {
	branches []*branch
	serves   map[Controller]*branch
	missing  map[Controller]string
	swap     bool
}

// branch is a tree's directory in one hierarchy.
type branch struct {
	hierarchy

	dir  string
	lock *os.File
}

// Open finds the hierarchies of this host and creates a directory in each that it may
// write to. [Tree.Missing] reports the controllers that no hierarchy provides.
func Open(o Options) (*Tree, error) {
	if o.Name == "" {
		return nil, errors.New("open a cgroup tree: the name is empty")
	}
	t := &Tree{serves: map[Controller]*branch{}, missing: map[Controller]string{}, swap: hasSwap(o.Root)}
	found, err := hierarchies(cmp.Or(o.Root, "/"))
	if err != nil {
		for _, c := range controllers() {
			t.missing[c] = fmt.Sprintf("this host (%s) has no control groups: %v", runtime.GOOS, err)
		}
		return t, nil
	}
	name := o.Name + "-" + strings.ToLower(rand.Text()[:12])
	for _, c := range controllers() {
		t.missing[c] = "the kernel has no such controller, or no hierarchy of it is mounted"
	}
	for _, h := range found {
		if !slices.ContainsFunc(h.controllers, t.lacks) {
			continue
		}
		b, err := h.open(o.Name, name)
		if err != nil {
			t.markMissing(h, err)
			continue
		}
		t.adopt(b)
	}
	return t, nil
}

// None returns a tree whose groups do nothing.
func None() *Tree {
	t := &Tree{serves: map[Controller]*branch{}, missing: map[Controller]string{}}
	for _, c := range controllers() {
		t.missing[c] = "control groups are disabled"
	}
	return t
}

func (t *Tree) lacks(c Controller) bool { return t.serves[c] == nil }

// markMissing records why a hierarchy cannot be used.
func (t *Tree) markMissing(h hierarchy, err error) {
	for _, c := range h.controllers {
		if t.lacks(c) {
			t.missing[c] = err.Error()
		}
	}
}

// adopt uses a branch for the controllers that no earlier branch provides.
func (t *Tree) adopt(b *branch) {
	t.branches = append(t.branches, b)
	for _, c := range b.controllers {
		if t.lacks(c) {
			t.serves[c] = b
			delete(t.missing, c)
		}
	}
}

// Missing returns the reason why groups lack a controller on this host; "" if they have
// it.
func (t *Tree) Missing(c Controller) string { return t.missing[c] }

// Where returns the directories in which groups are created, for messages.
func (t *Tree) Where() string {
	var dirs []string
	for _, b := range t.branches {
		dirs = append(dirs, b.dir)
	}
	return strings.Join(dirs, ", ")
}

// Share sets the weight of all groups of the tree together, relative to their sibling
// groups: 1 is the default weight of a single group.
func (t *Tree) Share(weight float64) error {
	b := t.serves[CPU]
	if b == nil {
		return errors.ErrUnsupported
	}
	return b.weigh(b.dir, weight)
}

// Close removes the tree, whose groups must be closed.
func (t *Tree) Close() error {
	var errs []error
	for _, b := range t.branches {
		errs = append(errs, sweep(b.dir), b.lock.Close())
	}
	return errors.Join(errs...)
}

// open creates a branch of h for a tree called name, and removes the trees of owners
// that died.
func (h hierarchy) open(prefix, name string) (*branch, error) {
	var refused []error
	for _, parent := range h.candidates {
		if err := h.prepare(parent, prefix); err != nil {
			refused = append(refused, err)
			continue
		}
		sweepAbandoned(parent, prefix)
		b, err := h.branch(filepath.Join(parent, name))
		if err != nil {
			refused = append(refused, err)
			continue
		}
		return b, nil
	}
	return nil, errors.Join(refused...)
}

func (h hierarchy) branch(dir string) (_ *branch, err error) {
	b := &branch{hierarchy: h, dir: dir}
	for range 100 { // bounds the number of owners that start at the same time
		if b.lock, err = lockDir(dir); !errors.Is(err, errSwept) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if h.version == 2 {
		if err := h.enable(dir); err != nil {
			return nil, errors.Join(err, os.Remove(dir), b.lock.Close())
		}
	}
	return b, nil
}

var errSwept = errors.New("another owner removed the directory before it was locked")

// lockDir creates dir and locks it. Before the lock, an owner that starts may take the
// directory for abandoned and remove it; then the error is [errSwept].
func lockDir(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errSwept
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // an owner that sweeps holds it briefly
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), lock.Close(), os.Remove(dir))
	}
	held, err := lock.Stat()
	there, gone := os.Stat(dir)
	if err != nil || gone != nil || !os.SameFile(held, there) {
		return nil, errors.Join(errSwept, lock.Close())
	}
	return lock, nil
}

// sweepAbandoned removes the trees without a lock.
func sweepAbandoned(parent, prefix string) {
	entries, _ := os.ReadDir(parent) // an unreadable directory is left as it is
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix+"-") {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		lock, err := os.Open(dir)
		if err != nil {
			continue
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = sweep(dir) // a process that still runs in it prevents the removal until the next sweep
		}
		lock.Close()
	}
}

// sweep removes a directory and the groups in it, the innermost first.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, sweep(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(err, remove(dir))
}

// remove removes a group. Its processes were killed, so it waits briefly until they
// have ended.
func remove(dir string) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || wait > 200*time.Millisecond {
			return fmt.Errorf("remove the cgroup %s: %w", dir, err)
		}
		<-time.After(wait)
	}
}
