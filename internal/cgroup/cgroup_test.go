package cgroup

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// openTree opens a tree on this host and skips the test if it lacks a controller.
func openTree(t testing.TB, needs ...Controller) *Tree {
	t.Helper()
	tree, err := Open(Options{Name: "cgroup-test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range needs {
		if why := tree.Missing(c); why != "" {
			t.Skipf("%s: %s", c, why)
		}
	}
	return tree
}

func group(t testing.TB, tree *Tree) *Group {
	t.Helper()
	g, err := tree.New("g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(g.KillAll(), g.Close()); err != nil {
			t.Error(err)
		}
	})
	return g
}

// startScript starts a shell script in g.
func startScript(t testing.TB, g *Group, text string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "read go; "+text)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "\n"); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func TestMemoryIsLimitedAndAnOOMKillIsReported(t *testing.T) {
	g := group(t, openTree(t, Memory))
	if err := g.Limit(Limits{Memory: 32 << 20}); err != nil {
		t.Fatal(err)
	}
	cmd, _ := startScript(t, g, "x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo survived")
	if g.OutOfMemory() {
		t.Error("OutOfMemory is true before the start")
	}
	cmd.Wait()
	if !g.OutOfMemory() {
		t.Error("OutOfMemory is false after a kill at the memory limit")
	}
	if u, err := g.Usage(); err != nil || u.Peak < 16<<20 || u.Peak > 33<<20 {
		t.Errorf("the peak is %d, %v", u.Peak, err)
	}
}

// TestSwapIsLimitedWithMemory reads the kernel's limits back: cgroup-v1 memory.rst §5,
// cgroup-v2.rst "Memory Interface Files".
func TestSwapIsLimitedWithMemory(t *testing.T) {
	tree := openTree(t, Memory)
	g := group(t, tree)
	file := "memory.swap.max"
	if tree.branchOf[Memory].version == 1 {
		file = "memory.memsw.limit_in_bytes"
	}
	path, _ := g.path(Memory, file, file)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("this kernel does not count swap: %v", err)
	}
	for _, maximum := range []int64{64 << 20, 32 << 20, 128 << 20} { // lowered, and raised
		if err := g.Limit(Limits{Memory: maximum}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if got := strings.TrimSpace(string(text)); err != nil || got != strconv.FormatInt(maximum, 10) {
			t.Errorf("the limit is %s, %v, want %d", got, err, maximum)
		}
	}
	if err := g.Limit(Limits{}); err != nil {
		t.Errorf("the limit is not removed: %v", err)
	}
}

// TestABackgroundGroupIsIdleForTheScheduler reads the kernel's setting back:
// cpu.idle of cgroup-v2.rst "CPU Interface Files", which version 1 has as well.
func TestABackgroundGroupIsIdleForTheScheduler(t *testing.T) {
	g := group(t, openTree(t, CPU))
	path, _ := g.path(CPU, "cpu.idle", "cpu.idle")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("this kernel has no idle groups: %v", err)
	}
	for _, on := range []bool{true, true, false} {
		if err := g.Background(on); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if got := strings.TrimSpace(string(text)); err != nil || (got == "1") != on {
			t.Errorf("cpu.idle is %s after Background(%v), %v", got, on, err)
		}
	}
}

func TestTasksAreLimited(t *testing.T) {
	g := group(t, openTree(t, Tasks))
	if err := g.Limit(Limits{Tasks: 5}); err != nil {
		t.Fatal(err)
	}
	_, out := startScript(t, g, "for i in 1 2 3 4 5 6 7 8; do sleep 100 >/dev/null & done; echo all; wait")
	if line, _ := out.ReadString('\n'); line == "all\n" {
		t.Error("the process has started more processes than its limit")
	}
}

func TestCPUTimeIsMeasuredAndLimited(t *testing.T) {
	g := group(t, openTree(t, CPU, Accounting))
	if err := g.Limit(Limits{CPU: 0.2}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	cmd, _ := startScript(t, g, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	passed := time.Since(began)
	used, err := g.CPU()
	if err != nil || used <= 0 {
		t.Fatal(used, err)
	}
	if maximum := passed/5 + 2*period; used > maximum { // the quota counts by period, so one at each end is uncertain
		t.Errorf("the group has used %v in %v, more than a fifth", used, passed)
	}
	if u, err := g.Usage(); err != nil || u.CPU < used {
		t.Errorf("Usage returns %v, %v", u.CPU, err)
	}
}

func TestFrozenProcessesUseNoCPUUntilTheyAreThawed(t *testing.T) {
	g := group(t, openTree(t, Freezer, Accounting))
	_, out := startScript(t, g, "echo up; while :; do :; done")
	if line, err := out.ReadString('\n'); line != "up\n" {
		t.Fatal(line, err)
	}
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	still := func() bool { // reports whether the group uses no CPU time for a few clock ticks
		before, _ := g.CPU()
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			<-tick.C
			after, _ := g.CPU()
			return after == before
		}
	}
	for deadline := time.Now().Add(time.Minute); !still(); {
		if time.Now().After(deadline) {
			t.Fatal("the process still uses CPU time")
		}
	}
	if err := g.Thaw(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); still(); {
		if time.Now().After(deadline) {
			t.Fatal("the process does not resume")
		}
	}
}

func TestKillAlsoKillsFrozenProcesses(t *testing.T) {
	g := group(t, openTree(t, Freezer))
	cmd, out := startScript(t, g, "setsid sleep 1000 & echo up; wait")
	if line, err := out.ReadString('\n'); line != "up\n" {
		t.Fatal(line, err)
	}
	if err := errors.Join(g.Freeze(), g.Kill()); err != nil {
		t.Fatal(err)
	}
	if _, err := out.ReadString('\n'); err != io.EOF { // the pipe closes after the end of both processes
		t.Error(err)
	}
	cmd.Wait()
}

func TestKillWorksWithoutCgroupKill(t *testing.T) {
	g := group(t, openTree(t, Freezer))
	cmd, out := startScript(t, g, "sleep 1000 & echo up; wait")
	if line, err := out.ReadString('\n'); line != "up\n" {
		t.Fatal(line, err)
	}
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	if found, err := g.killEach(); found < 2 || err != nil {
		t.Fatal(found, err)
	}
	cmd.Wait()
}

func TestReclaimIsUnsupportedWithoutSwap(t *testing.T) {
	tree := openTree(t, Memory)
	g := group(t, tree)
	if err := g.Reclaim(); tree.swap && err != nil || !tree.swap && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("with swap: %t, the error is %v", tree.swap, err)
	}
}

func TestOpenRemovesAbandonedTrees(t *testing.T) {
	abandoned := openTree(t, Freezer)
	if _, err := abandoned.New("left"); err != nil {
		t.Fatal(err)
	}
	dir := abandoned.branches[0].dir
	owned := openTree(t)
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("a tree is removed while its owner runs: %v", err)
	}
	for _, b := range abandoned.branches {
		b.lock.Close() // as the kernel does at the end of the owner
	}
	next := openTree(t)
	if _, err := os.Stat(dir); err == nil {
		t.Error("an abandoned tree is not removed")
	}
	for _, other := range []*Tree{owned, next} {
		if _, err := os.Stat(other.branches[0].dir); err != nil {
			t.Error(err)
		}
	}
	abandoned.branches = nil
}

// fakeRoot creates a root directory with files in the formats of the kernel's.
func fakeRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCandidatesAreTheOwnGroupAndItsAncestors(t *testing.T) {
	root := fakeRoot(t, map[string]string{
		"proc/self/cgroup":                           "0::/user.slice/app.scope\n",
		"proc/self/mountinfo":                        "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n31 20 0:27 / /proc rw - proc proc rw\n",
		"sys/fs/cgroup/cgroup.controllers":           "cpuset cpu io memory pids\n",
		"sys/fs/cgroup/user.slice/app.scope/x":       "",
		"sys/fs/cgroup/user.slice/app.scope/y/again": "",
	})
	found, err := hierarchies(root)
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	at := filepath.Join(root, "sys/fs/cgroup")
	if diff := cmp.Diff([]string{at + "/user.slice/app.scope", at + "/user.slice", at}, found[0].candidates); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Controller{Freezer, CPU, Accounting, Memory, Tasks}, found[0].controllers); diff != "" {
		t.Error(diff)
	}
}

func TestVersionOneIsUsedWhereVersionTwoHasNoControllers(t *testing.T) {
	root := fakeRoot(t, map[string]string{
		"proc/self/cgroup": "5:memory:/docker/abc\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
		"proc/self/mountinfo": `40 30 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
41 30 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
42 30 0:32 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
43 30 0:33 / /sys/fs/cgroup/uni\040fied rw - cgroup2 cgroup2 rw
`,
		"sys/fs/cgroup/uni fied/cgroup.controllers": "\n",
	})
	found, err := hierarchies(root)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(root, "sys/fs/cgroup")
	want := []hierarchy{
		{2, []Controller{Freezer, Accounting}, []string{at + "/uni fied"}},
		{1, []Controller{Memory}, []string{at + "/memory"}},
		{1, []Controller{CPU, Accounting}, []string{at + "/cpu,cpuacct"}},
	}
	if diff := cmp.Diff(want, found, cmp.AllowUnexported(hierarchy{})); diff != "" {
		t.Error(diff)
	}
}

func TestAHostWithoutCgroupsIsReported(t *testing.T) {
	tree, err := Open(Options{Name: "x", Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range controllers() {
		if tree.Missing(c) == "" {
			t.Errorf("Missing reports no reason for %s", c)
		}
	}
	g, err := tree.New("g")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.Add(1), g.Limit(Limits{Memory: 1, CPU: 1, Tasks: 1})); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{"freeze": g.Freeze(), "reclaim": g.Reclaim(), "background": g.Background(true)} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(g.KillAll(), g.Close(), g.Close(), tree.Close()); err != nil {
		t.Error(err)
	}
}

func TestNumbersAreFoundByTheirWholeKey(t *testing.T) {
	text := []byte("oom 7\noom_kill_disable 0\noom_kill 3\n")
	if n, err := keyedNumber(text, "oom_kill"); n != 3 || err != nil {
		t.Error(n, err)
	}
	if _, err := keyedNumber(text, "kill"); err == nil {
		t.Error("a missing key was found")
	}
}

func FuzzMountsDoNotPanic(f *testing.F) {
	f.Add("40 30 0:30 / /a rw shared:1 - cgroup cgroup rw,memory")
	f.Add(" - ")
	f.Fuzz(func(t *testing.T, line string) {
		if m, ok := parseMount(line); ok && !strings.Contains(line, " - ") {
			t.Error(m)
		}
	})
}

func BenchmarkUsage(b *testing.B) {
	g := group(b, openTree(b, Memory, Accounting))
	for b.Loop() {
		if _, err := g.Usage(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCPU(b *testing.B) {
	g := group(b, openTree(b, Accounting))
	for b.Loop() {
		if _, err := g.CPU(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	tree := openTree(b)
	for b.Loop() {
		g, err := tree.New("x")
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLimit(b *testing.B) {
	g := group(b, openTree(b, Memory, CPU))
	for n := int64(0); b.Loop(); n++ {
		if err := g.Limit(Limits{Memory: 64<<20 + n<<20, CPU: 1, Tasks: 512}); err != nil {
			b.Fatal(err)
		}
	}
}

// A tree exists for a moment before it is locked. Another owner that starts then removes
// it as abandoned; the first one must create it again.
func TestConcurrentOwnersKeepTheirTrees(t *testing.T) {
	openTree(t, Freezer) // skips where there are no groups
	var owners sync.WaitGroup
	for range 8 {
		owners.Go(func() {
			for range 40 {
				tree, err := Open(Options{Name: "cgroup-test"})
				if err != nil {
					t.Error(err)
					return
				}
				for _, b := range tree.branches {
					if _, err := os.Stat(b.dir); err != nil {
						t.Error(err)
					}
				}
				if err := tree.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	owners.Wait()
}
