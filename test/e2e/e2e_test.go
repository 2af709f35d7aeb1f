//go:build e2e

// Package e2e_test tests Lateen as its users see it: the real binary
// in a process of its own, real frameworks' builds, the unmodified vercel CLI,
// a real browser.
//
// It needs the results of `make e2e`: the examples built by scripts/examples.sh
// and Node.js in .cache/node.
package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// binary is the lateen under test, built once for all tests.
var binary string

// goRace ends a process of the binary at the first race that it finds, and
// without the second in which others may be reported.
const goRace = "GORACE=halt_on_error=1 atexit_sleep_ms=0"

// TestMain builds the binary, with the race detector if the tests have it.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lateen-e2e-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "lateen")
	args := []string{"build", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/lateen")...)
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build lateen: %v\n%s", err, out)
		return 1
	}
	defer shared.end()
	return m.Run()
}

// root is the top of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// nodeDir is the directory of the Node.js that the vercel CLI runs on.
func nodeDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(root(t), ".cache", "node", "bin")
	if _, err := os.Stat(filepath.Join(dir, "node")); err != nil {
		t.Fatalf("there is no Node.js in %s: run scripts/node.sh", dir)
	}
	return dir
}

// eventually tries until try returns nil, and fails the test with the last error
// after three minutes: it tests the final state, not the time to reach it.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	if err := within(t.Context(), 3*time.Minute, try); err != nil {
		t.Fatalf("not within three minutes: %v", err)
	}
}

// within tries until try returns nil, and returns its last error once limit has
// passed.
func within(ctx context.Context, limit time.Duration, try func() error) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
