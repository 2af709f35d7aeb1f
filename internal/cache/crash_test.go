package cache_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
)

const crashDir = "LATEEN_TEST_CACHE_CRASH_DIR"

// crashBody is the body of the nth entry, alternately small and large.
func crashBody(n int) string {
	return strings.Repeat(strconv.Itoa(n)+" ", 1+n%7*5000)
}

func crashKey(n int) cache.Key { return cache.NewKey("dpl_"+strconv.Itoa(n%3), strconv.Itoa(n)) }

// TestStepsOfTheKilledProcess is not a test but the process that another test kills. It
// stores entries, invalidates tags and prints the completed steps.
func TestStepsOfTheKilledProcess(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("run by TestAKilledProcessLosesNoReportedStep")
	}
	c := running(t, cache.Options{Dir: dir, MaxInline: 1000})
	for n := 0; ; n++ {
		keep(t, c, crashKey(n), page{body: crashBody(n), fresh: -1, tags: []string{"tag" + strconv.Itoa(n)}})
		if n%2 == 1 {
			if err := c.Invalidate([]string{crashKey(n).Scope}, []string{"tag" + strconv.Itoa(n)}, 0); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println("done", n)
	}
}

func TestAKilledProcessLosesNoReportedStep(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	dir := t.TempDir()
	for round := range 4 {
		done := crash(t, dir, time.Duration(40+30*round)*time.Millisecond)
		c, err := cache.Open(cache.Options{Dir: dir, MaxInline: 1000})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, c)
		for n := range done + 1 {
			if got := body(t, c, crashKey(n)); got != crashBody(n) {
				t.Fatalf("round %d: entry %d of %d has %d bytes, want %d", round, n, done, len(got), len(crashBody(n)))
			}
			want := "fresh"
			if n%2 == 1 {
				want = "expired stale_tag"
			}
			if got := state(t, c, crashKey(n)); got != want {
				t.Fatalf("round %d: entry %d of %d is %s, want %s", round, n, done, got, want)
			}
		}
		if got := body(t, c, crashKey(done+1)); got != "none" && got != crashBody(done+1) {
			t.Fatalf("round %d: the unfinished entry has %d bytes", round, len(got))
		}
		stop()
		if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) > 0 {
			t.Fatalf("round %d: temporary files remain: %v, %v", round, left, err)
		}
		t.Logf("round %d: killed after %d entries", round, done+1)
	}
}

// crash runs the crashing process in dir, kills it some time after its first line,
// and returns the last entry that it printed.
func crash(t *testing.T, dir string, after time.Duration) (last int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStepsOfTheKilledProcess$", "-test.v")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last = -1
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "done "); ok {
			if last < 0 {
				time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			}
			if last, err = strconv.Atoi(n); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	if last < 0 {
		t.Fatal("the process did nothing")
	}
	return last
}
