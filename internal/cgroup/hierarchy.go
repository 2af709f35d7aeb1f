package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hierarchy is a mounted tree of control groups.
type hierarchy struct {
	version     int
	controllers []Controller
	candidates  []string // directories to create groups in, in order of preference
}

// hierarchies returns the mounted hierarchies in order of preference. Version 2 comes
// first for its better freezer; on a host that uses version 1 for the other
// controllers, version 2 does not have them.
func hierarchies(root string) ([]hierarchy, error) {
	own, err := ownGroups(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	var found []hierarchy
	for line := range bytes.Lines(mounts) {
		m, ok := parseMount(string(line))
		if !ok {
			continue
		}
		m.point = filepath.Join(root, m.point)
		switch m.kind {
		case "cgroup2":
			found = append([]hierarchy{unified(m, own[""])}, found...)
		case "cgroup":
			if h, ok := legacy(m, own); ok {
				found = append(found, h)
			}
		}
	}
	return found, nil
}

// ownGroups reads the groups of this process by controller; the group of version 2 has
// the key "" (cgroups(7)).
func ownGroups(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	groups := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			groups[controller] = fields[2]
		}
	}
	return groups, nil
}

// mount is a line of mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	kind    string
	root    string // group that is mounted
	point   string // mount point
	options []string
}

func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 6 || len(right) < 3 {
		return mount{}, false
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	return mount{
		kind: right[0], root: unescape.Replace(left[3]), point: unescape.Replace(left[4]), options: strings.Split(right[2], ","),
	}, true
}

// at returns the directory of a group within a mount.
func (m mount) at(group string) string {
	if rest, err := filepath.Rel(m.root, group); err == nil && filepath.IsLocal(rest) {
		return filepath.Join(m.point, rest)
	}
	return m.point
}

// unified returns a hierarchy of version 2. A group with processes cannot have groups
// with controllers below it, so the candidates are the group own and its ancestors.
func unified(m mount, own string) hierarchy {
	h := hierarchy{version: 2, controllers: []Controller{Freezer}}
	available, _ := os.ReadFile(filepath.Join(m.point, "cgroup.controllers")) // without the file there are none
	for name := range bytes.FieldsSeq(available) {
		switch c := Controller(name); c {
		case CPU:
			h.controllers = append(h.controllers, CPU, Accounting)
		case Memory, Tasks:
			h.controllers = append(h.controllers, c)
		case Accounting, Freezer: // no controllers of this version
		}
	}
	if !slices.Contains(h.controllers, CPU) {
		h.controllers = append(h.controllers, Accounting) // it needs no controller in version 2
	}
	for dir := m.at(own); ; dir = filepath.Dir(dir) {
		h.candidates = append(h.candidates, dir)
		if dir == m.point || len(h.candidates) > 32 {
			return h
		}
	}
}

// legacy returns a hierarchy of version 1.
func legacy(m mount, own map[string]string) (hierarchy, bool) {
	h := hierarchy{version: 1}
	for _, c := range controllers() {
		if slices.Contains(m.options, string(c)) {
			h.controllers = append(h.controllers, c)
			h.candidates = []string{m.at(own[string(c)])}
		}
	}
	return h, len(h.controllers) > 0
}

// prepare makes a directory ready for groups below it.
func (h hierarchy) prepare(dir, prefix string) error {
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return fmt.Errorf("%s is not writable: %w", dir, err)
	}
	if h.version == 1 {
		return nil
	}
	if len(h.wanted()) == 0 {
		return nil
	}
	if err := h.moveOut(dir, prefix); err != nil {
		return err
	}
	return h.enable(dir)
}

// wanted are the controllers to enable for the groups below.
func (h hierarchy) wanted() []Controller {
	return slices.DeleteFunc(slices.Clone(h.controllers), func(c Controller) bool { return c == Freezer || c == Accounting })
}

// moveOut moves this process, if it is alone in a directory of version 2, into a
// directory of its own: only a group without processes can limit the groups below it.
func (h hierarchy) moveOut(dir, prefix string) error {
	if _, err := os.Stat(filepath.Join(dir, "cgroup.type")); err != nil {
		return nil //nolint:nilerr // the root group has no type, and may have processes
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return err
	}
	switch inside := strings.Fields(string(procs)); {
	case len(inside) == 0:
		return nil
	case len(inside) > 1 || inside[0] != strconv.Itoa(os.Getpid()):
		return fmt.Errorf("%s has other processes", dir)
	}
	own := filepath.Join(dir, prefix+".supervisor")
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.WriteFile(filepath.Join(own, "cgroup.procs"), []byte("0"), 0)
}

// enable enables the controllers for the groups below a directory of version 2.
func (h hierarchy) enable(dir string) error {
	var add []string
	for _, c := range h.wanted() {
		add = append(add, "+"+string(c))
	}
	if len(add) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(strings.Join(add, " ")), 0)
}

// setWeight sets the weight of a directory's group relative to its siblings.
func (h hierarchy) setWeight(dir string, weight float64) error {
	if h.version == 2 {
		return write(dir, "cpu.weight", min(max(int64(100*weight), 1), 10_000))
	}
	return write(dir, "cpu.shares", min(max(int64(1024*weight), 2), 262_144))
}

// hasSwap reports whether the host has swap.
func hasSwap(root string) bool {
	info, _ := os.ReadFile(filepath.Join(root, "/proc/meminfo")) // without the file there is none
	_, rest, _ := strings.Cut(string(info), "SwapTotal:")
	fields := strings.Fields(rest)
	return len(fields) > 0 && fields[0] != "0"
}

func write(dir, file string, value int64) error {
	return writeText(dir, file, strconv.FormatInt(value, 10))
}

// writeText writes a file of the kernel. If it does not exist, the error is
// [fs.ErrNotExist].
func writeText(dir, file, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
