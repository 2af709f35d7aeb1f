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

// Tree is a directory for groups in each hierarchy, owned by one process. The process
// holds a lock on the directories while the tree is open. Open removes the trees of the
// same name that have no lock, since their owners have ended without Close.
type Tree struct {
	branches []*branch
	branchOf map[Controller]*branch
	missing  map[Controller]string
	swap     bool
}

// branch is the directory of a tree in one hierarchy.
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
	t := &Tree{branchOf: map[Controller]*branch{}, missing: map[Controller]string{}, swap: hasSwap(o.Root)}
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
		t.add(b)
	}
	return t, nil
}

// None returns a tree whose groups do nothing.
func None() *Tree {
	t := &Tree{branchOf: map[Controller]*branch{}, missing: map[Controller]string{}}
	for _, c := range controllers() {
		t.missing[c] = "control groups are disabled"
	}
	return t
}

func (t *Tree) lacks(c Controller) bool { return t.branchOf[c] == nil }

// markMissing records the reason for which a hierarchy cannot be used.
func (t *Tree) markMissing(h hierarchy, err error) {
	for _, c := range h.controllers {
		if t.lacks(c) {
			t.missing[c] = err.Error()
		}
	}
}

// add adds a branch, and uses it for the controllers that no earlier branch provides.
func (t *Tree) add(b *branch) {
	t.branches = append(t.branches, b)
	for _, c := range b.controllers {
		if t.lacks(c) {
			t.branchOf[c] = b
			delete(t.missing, c)
		}
	}
}

// Missing returns the reason why groups lack a controller on this host; "" if they have
// it.
func (t *Tree) Missing(c Controller) string { return t.missing[c] }

// SetWeight sets the weight of all groups of the tree together, relative to their sibling
// groups: 1 is the default weight of a single group.
func (t *Tree) SetWeight(weight float64) error {
	b := t.branchOf[CPU]
	if b == nil {
		return errors.ErrUnsupported
	}
	return b.setWeight(b.dir, weight)
}

// Close removes the tree, whose groups must be closed.
func (t *Tree) Close() error {
	var errs []error
	for _, b := range t.branches {
		errs = append(errs, removeTree(b.dir), b.lock.Close())
	}
	return errors.Join(errs...)
}

// open creates a branch of h for a tree called name, and removes abandoned trees.
func (h hierarchy) open(prefix, name string) (*branch, error) {
	var refused []error
	for _, parent := range h.candidates {
		if err := h.prepare(parent, prefix); err != nil {
			refused = append(refused, err)
			continue
		}
		removeAbandoned(parent, prefix)
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
	for range 100 { // each repetition lost a race with another owner that started
		if b.lock, err = lockDir(dir); !errors.Is(err, errRemoved) {
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

var errRemoved = errors.New("another owner removed the directory before it was locked")

// lockDir creates dir and locks it. If another owner removes the directory before the
// lock, as abandoned, the error is [errRemoved].
func lockDir(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errRemoved
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // removeAbandoned holds it briefly
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), lock.Close(), os.Remove(dir))
	}
	held, err := lock.Stat()
	current, statErr := os.Stat(dir)
	if err != nil || statErr != nil || !os.SameFile(held, current) {
		return nil, errors.Join(errRemoved, lock.Close())
	}
	return lock, nil
}

// removeAbandoned removes the directories of trees in parent that no process has locked.
func removeAbandoned(parent, prefix string) {
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
			_ = removeTree(dir) // a process that still runs in it prevents the removal until the next start
		}
		lock.Close()
	}
}

// removeTree removes a directory and the groups in it, the innermost first.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(dir, e.Name())))
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
