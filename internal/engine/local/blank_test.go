package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// awaitPool waits until as many blank processes are ready as should be, and the
// machine is at rest.
func awaitPool(tb testing.TB, e *Engine) {
	tb.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for quiet := 0; quiet < 10; quiet++ {
		if s := e.Pools(); s.Target == 0 || s.Ready < s.Target || s.Booting > 0 {
			quiet = 0
		}
		select {
		case <-ticker.C:
		case <-deadline:
			tb.Fatalf("the pools stay at %+v", e.Pools())
		}
	}
}

func TestDeadBlankProcessesCannotBeClaimed(t *testing.T) {
	_, e := newSuite(t)
	w, err := e.bootBlank(t.Context(), e.runner(nodeName(newestNode)), false, func(*worker) {})
	if err != nil {
		t.Fatal(err)
	}
	if w.Lost() || !w.Claim() {
		t.Error("it is lost before its end")
	}
	w.Kill()
	<-w.exited
	if !w.Lost() || w.Claim() {
		t.Error("it is there after its end")
	}
}

// TestBlankProcessesBootInTheBackground looks at the weight that the kernel
// gives a process while it boots and when it is ready.
func TestBlankProcessesBootInTheBackground(t *testing.T) {
	_, e := newSuite(t)
	awaitPool(t, e)
	var booting string
	b, err := e.bootBlank(t.Context(), e.runner(nodeName(newestNode)), true, func(w *worker) { booting = weightOf(t, w) })
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	usual, err := e.bootBlank(t.Context(), e.runner(nodeName(newestNode)), false, func(*worker) {})
	if err != nil {
		t.Fatal(err)
	}
	defer usual.Kill()
	ready, want := weightOf(t, b), weightOf(t, usual)
	if len(booting) >= len(want) || ready != want {
		t.Errorf("it weighs %s while it boots, %s when it is ready, and another %s", booting, ready, want)
	}
}

// weightOf returns the share of the CPUs that a process's group has against others.
func weightOf(t *testing.T, w *worker) string {
	t.Helper()
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", w.process.ID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for _, file := range []string{
			filepath.Join("/sys/fs/cgroup", fields[1], fields[2], "cpu.shares"), filepath.Join("/sys/fs/cgroup", fields[2], "cpu.weight"),
		} {
			if weight, err := os.ReadFile(file); err == nil && fields[2] != "/" {
				return strings.TrimSpace(string(weight))
			}
		}
	}
	t.Skip("this host bounds no group's share of the CPUs")
	return ""
}
