package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/process"
)

// awaitPool waits until the pools are full and the machine is quiet.
func awaitPool(tb testing.TB, e *Engine) {
	tb.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(waitLimit)
	for quiet := 0; quiet < 10; quiet++ {
		if s := e.Pools(); s.Target == 0 || s.Ready < s.Target || s.Booting > 0 {
			quiet = 0
		}
		select {
		case <-ticker.C:
		case <-deadline:
			tb.Fatalf("the pools are not full: %+v", e.Pools())
		}
	}
}

func TestDeadBlankProcessesCannotBeClaimed(t *testing.T) {
	_, e := newSuite(t)
	w, err := e.bootBlank(t.Context(), e.runner(nodeName(newestNode)), false, func(*process.Process) {})
	if err != nil {
		t.Fatal(err)
	}
	if w.Lost() || !w.Claim() {
		t.Error("a live process is reported as lost")
	}
	w.Kill()
	<-w.Exited
	if !w.Lost() || w.Claim() {
		t.Error("an ended process was claimed")
	}
}

// TestBlankProcessesBootInTheBackground reads the CPU weight of a process while it
// boots and when it is ready.
func TestBlankProcessesBootInTheBackground(t *testing.T) {
	_, e := newSuite(t)
	awaitPool(t, e)
	var booting string
	b, err := e.bootBlank(t.Context(), e.runner(nodeName(newestNode)), true, func(w *process.Process) { booting = weightOf(t, w) })
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	usual, err := e.bootBlank(t.Context(), e.runner(nodeName(newestNode)), false, func(*process.Process) {})
	if err != nil {
		t.Fatal(err)
	}
	defer usual.Kill()
	ready, want := weightOf(t, b), weightOf(t, usual)
	if len(booting) >= len(want) || ready != want {
		t.Errorf("weight: %s while booting, %s when ready, %s of another process", booting, ready, want)
	}
}

// weightOf returns the CPU weight of a process's cgroup.
func weightOf(t *testing.T, w *process.Process) string {
	t.Helper()
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", w.Sandboxed.ID()))
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
	t.Skip("this host has no CPU weights")
	return ""
}
