package instance

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// A process that reports why it cannot start exits immediately. On a busy host the
// waiting start then finds the report and the exit at the same time.
func TestTheReasonOfAFailedStartIsReportedRatherThanTheExitStatus(t *testing.T) {
	for range 100 {
		w := &process.Process{Exited: make(chan struct{}), State: sandbox.Exit{Code: 1}, Output: &process.Output{}}
		i := &Instance{Process: w, o: Options{LoadTimeout: time.Hour}, loaded: make(chan error, 1)}
		i.loaded <- errors.New("text is not executable")
		close(w.Exited)
		if err := i.await(t.Context()); err == nil || !strings.Contains(err.Error(), "text is not executable") {
			t.Fatalf("error: %v", err)
		}
	}
}
