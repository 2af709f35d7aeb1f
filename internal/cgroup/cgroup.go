// Package cgroup bounds, measures, freezes and kills groups of processes by
// Linux control groups, of version 2, version 1 and hosts that have some of
// both. It writes only below the group that this process was started in, or
// the nearest one above it that it may write to.
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

// A Controller is something that groups can do.
type Controller string

// The controllers, by what they are for.
const (
	Memory     Controller = "memory"  // a bound on memory, and its measure
	CPU        Controller = "cpu"     // a share of the CPUs
	Accounting Controller = "cpuacct" // the CPU time that was used
	Tasks      Controller = "pids"    // a bound on processes and threads
	Freezer    Controller = "freezer" // stopping and going on
)

func controllers() []Controller { return []Controller{Memory, CPU, Accounting, Tasks, Freezer} }

// Options are the settings of a [Tree].
type Options struct {
	// Name begins the names of the directories it makes. Required.
	Name string
	// Root is the directory that stands for "/" when this process's groups and
	// their mounts are looked up; "" is "/".
	Root string
}

// Tree is a place for groups, which is its own: it is locked while it is open,
// and swept away by whoever comes next if its owner could not.
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

// Open finds the hierarchies of this host and makes a place in each that it
// may write to. Controllers for which there is none are told by [Tree.Missing].
func Open(o Options) (*Tree, error) {
	if o.Name == "" {
		return nil, errors.New("open a place for groups: it has no name")
	}
	t := &Tree{serves: map[Controller]*branch{}, missing: map[Controller]string{}, swap: hasSwap(o.Root)}
	found, err := hierarchies(cmp.Or(o.Root, "/"))
	if err != nil {
		for _, c := range controllers() {
			t.missing[c] = fmt.Sprintf("this host, %s, tells of no control groups: %v", runtime.GOOS, err)
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
			t.regret(h, err)
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
		t.missing[c] = "no groups are made"
	}
	return t
}

func (t *Tree) lacks(c Controller) bool { return t.serves[c] == nil }

// regret keeps why a hierarchy cannot be used.
func (t *Tree) regret(h hierarchy, err error) {
	for _, c := range h.controllers {
		if t.lacks(c) {
			t.missing[c] = err.Error()
		}
	}
}

// adopt uses a branch for what no other is used for.
func (t *Tree) adopt(b *branch) {
	t.branches = append(t.branches, b)
	for _, c := range b.controllers {
		if t.lacks(c) {
			t.serves[c] = b
			delete(t.missing, c)
		}
	}
}

// Missing says why groups cannot do something on this host; "" if they can.
func (t *Tree) Missing(c Controller) string { return t.missing[c] }

// Where says in which directories groups are made, for people.
func (t *Tree) Where() string {
	var dirs []string
	for _, b := range t.branches {
		dirs = append(dirs, b.dir)
	}
	return strings.Join(dirs, ", ")
}

// Share gives all groups of the tree together a weight against what runs
// beside them: 1 is the usual one of a single group.
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

// open makes a branch of h for a tree called name, and removes what owners of
// such trees have left when they could no more.
func (h hierarchy) open(prefix, name string) (*branch, error) {
	var refused []error
	for _, parent := range h.places {
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
	for range 100 { // as many owners may begin at once
		if b.lock, err = hold(dir); !errors.Is(err, errSwept) {
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

var errSwept = errors.New("another owner removed the directory before it was held")

// hold makes dir and locks it. Until it is locked, another owner that begins may
// take it for abandoned and remove it: that is [errSwept].
func hold(dir string) (*os.File, error) {
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
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // an owner that sweeps is soon through
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), lock.Close(), os.Remove(dir))
	}
	held, err := lock.Stat()
	there, gone := os.Stat(dir)
	if err != nil || gone != nil || !os.SameFile(held, there) {
		return nil, errors.Join(errSwept, lock.Close())
	}
	return lock, nil
}

// sweepAbandoned removes trees that nobody holds.
func sweepAbandoned(parent, prefix string) {
	entries, _ := os.ReadDir(parent) // nothing to sweep if it cannot be read
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
			_ = sweep(dir) // what still runs in there keeps it, until the next time
		}
		lock.Close()
	}
}

// sweep removes a directory of groups, the innermost first.
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

// remove removes a group once the last of its processes, which have been
// killed, is gone.
func remove(dir string) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || wait > 200*time.Millisecond {
			return fmt.Errorf("remove the group %s: %w", dir, err)
		}
		<-time.After(wait)
	}
}
