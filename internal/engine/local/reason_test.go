package local

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/sandbox"
)

// A process that reports why it cannot start exits at once. On a busy host the
// waiting start then finds the report and the exit at the same time.
func TestTheReasonOfAFailedStartIsReportedRatherThanTheExitStatus(t *testing.T) {
	for range 100 {
		w := &worker{exited: make(chan struct{}), state: sandbox.Exit{Code: 1}, output: &output{}, killer: time.NewTimer(time.Hour)}
		i := &instance{worker: w, loadWithin: time.Hour, loaded: make(chan error, 1)}
		i.loaded <- errors.New("text is not executable")
		close(w.exited)
		if err := i.await(t.Context()); err == nil || !strings.Contains(err.Error(), "text is not executable") {
			t.Fatalf("the error is %v", err)
		}
	}
}

// A descendant of an exited process may hold the pipe open, and a busy host may
// read late: what the process wrote is read all the same, up to what a pipe
// holds (64 KiB, pipe(7)), and nothing waits for more.
func TestTheOutputOfAnExitedProcessIsReadWholeWithoutWaitingForMore(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close() // the descendant's
	if _, err := w.WriteString(strings.Repeat("line\n", 10) + "the last words"); err != nil {
		t.Fatal(err)
	}
	(&ends{stdout: r, stderr: r}).hangUp() // before the reader has begun
	o := &output{}
	o.copy(r, "info")
	if words := o.lastWords(); !strings.HasSuffix(words, "line\nthe last words") || strings.Count(words, "line") != 10 {
		t.Errorf("the last words are %q", words)
	}
}
