package local

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/sandbox"
)

// A process that reports why it cannot start exits immediately. On a busy host the
// waiting start then finds the report and the exit at the same time.
func TestTheReasonOfAFailedStartIsReportedRatherThanTheExitStatus(t *testing.T) {
	for range 100 {
		w := &worker{exited: make(chan struct{}), state: sandbox.Exit{Code: 1}, output: &output{}, killer: time.NewTimer(time.Hour)}
		i := &instance{worker: w, loadWithin: time.Hour, loaded: make(chan error, 1)}
		i.loaded <- errors.New("text is not executable")
		close(w.exited)
		if err := i.await(t.Context()); err == nil || !strings.Contains(err.Error(), "text is not executable") {
			t.Fatalf("error: %v", err)
		}
	}
}

// A descendant of an exited process may hold the pipe open, and a busy host may read
// late: the engine still reads the output of the process, up to the capacity of a
// pipe (64 KiB, pipe(7)), and does not wait for more.
func TestTheOutputOfAnExitedProcessIsReadWholeWithoutWaitingForMore(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close() // the descendant's end
	if _, err := w.WriteString(strings.Repeat("line\n", 10) + "the last words"); err != nil {
		t.Fatal(err)
	}
	(&handles{stdout: r, stderr: r}).endOutput() // before the reader begins
	o := &output{}
	o.copy(r, "info")
	if words := o.lastOutput(); !strings.HasSuffix(words, "line\nthe last words") || strings.Count(words, "line") != 10 {
		t.Errorf("tail: %q", words)
	}
}
