package edge

import (
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// The bounds of what the failures of requests write into the daemon's log.
const (
	maxFailures   = 10 // of one project in a window
	failureWindow = 10 * time.Second
	maxFailure    = 1024 // bytes of a path or a cause
)

// failures count what was logged of each project of late, so that a visitor who
// asks for the same failure again and again does not fill the log.
type failures struct {
	mu     sync.Mutex // guards below
	until  time.Time  // the end of the window
	logged map[lateen.ProjectID]int
	left   int // failures of the last windows that were not logged
}

// admit reports whether a failure of a project is logged at now, and how many
// were not since the last that was.
func (f *failures) admit(project lateen.ProjectID, now time.Time) (left int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.logged == nil || !now.Before(f.until) {
		f.until, f.logged = now.Add(failureWindow), map[lateen.ProjectID]int{}
	}
	if f.logged[project]++; f.logged[project] > maxFailures {
		f.left++
		return 0, false
	}
	left, f.left = f.left, 0
	return left, true
}

// logFailure logs what is the platform's own fault.
func (x *exchange) logFailure(err error) {
	left, ok := x.edge.failures.admit(x.record.Project, x.edge.o.Now())
	if !ok {
		return
	}
	args := []any{"request_id", string(x.id), "host", shorten(x.client.hostname), "path", shorten(x.record.Path), "err", shorten(err.Error())}
	if left > 0 {
		args = append(args, "failures_not_logged", left)
	}
	x.edge.o.Log.ErrorContext(x.req.Context(), "request failed", args...)
}

// logFault writes why the site's own configuration failed a request into the log
// of the site.
func (x *exchange) logFault(err error) {
	if x.edge.o.Lines == nil {
		return
	}
	x.edge.o.Lines.Log(lateen.LogLine{
		Time: lateen.MillisOf(x.edge.o.Now()), Request: x.id, Project: x.record.Project, Deployment: x.record.Deployment,
		Level: lateen.LevelError, Source: "platform", Text: shorten(err.Error()),
	})
}

// shorten bounds text that a visitor or a site chose.
func shorten(text string) string {
	if len(text) <= maxFailure {
		return text
	}
	return text[:maxFailure] + "…"
}
