package edge

import (
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
)

// The bounds of failed requests in the daemon's log, so that a client that repeats a
// failing request does not fill the log.
const (
	maxFailures   = 10 // failures of one project in a window
	failureWindow = 10 * time.Second
	maxFailure    = 1024 // bytes of a path or a cause
)

// logFailure writes an error of the platform itself into the daemon's log.
func (x *exchange) logFailure(err error) {
	skipped, ok := x.edge.failures.Admit(x.record.Project, x.edge.o.Now())
	if !ok {
		return
	}
	args := []any{"request_id", string(x.ID), "host", shorten(x.Client.Hostname), "path", shorten(x.record.Path), "err", shorten(err.Error())}
	if skipped > 0 {
		args = append(args, "failures_not_logged", skipped)
	}
	x.edge.o.Log.ErrorContext(x.req.Context(), "request failed", args...)
}

// logFault writes an error that the site of k caused into the log of the site.
func (e *Edge) logFault(k *call.Call, err error) {
	if e.o.Lines == nil {
		return
	}
	e.o.Lines.Log(lateen.LogLine{
		Time: lateen.MillisOf(e.o.Now()), Request: k.ID, Project: k.Site.Project, Deployment: k.Site.Deployment,
		Level: lateen.LevelError, Source: "platform", Text: shorten(err.Error()),
	})
}

// shorten bounds text that a client or a site chose.
func shorten(text string) string {
	if len(text) <= maxFailure {
		return text
	}
	return text[:maxFailure] + "…"
}
