package edge

import (
	"context"
	"log/slog"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/share"
)

// The bounds of failed requests in the daemon's log, so that a client that repeats a
// failing request does not fill the log.
const (
	maxFailures   = 10 // failures of one project in a window
	failureWindow = 10 * time.Second
	maxFailure    = 1024 // bytes of a path or a cause
)

// LogSink takes the platform's messages about the requests of a site, for the log of
// the site. It must not block.
type LogSink interface {
	Log(line lateen.LogLine)
}

// failures writes failures into the logs: those of the platform into the daemon's, and
// those of a site into the log of the site.
type failures struct {
	log    *slog.Logger
	sites  LogSink // nil drops them
	now    func() time.Time
	recent share.LogLimit[lateen.ProjectID]
}

func newFailures(log *slog.Logger, sites LogSink, now func() time.Time) *failures {
	return &failures{log: log, sites: sites, now: now, recent: share.LogLimit[lateen.ProjectID]{Most: maxFailures, Window: failureWindow}}
}

// failure writes an error of the platform itself, in the request of r.
func (f *failures) failure(ctx context.Context, r *lateen.Record, err error) {
	skipped, ok := f.recent.Admit(r.Project, f.now())
	if !ok {
		return
	}
	args := []any{"request_id", string(r.ID), "host", shorten(r.Host), "path", shorten(r.Path), "err", shorten(err.Error())}
	if skipped > 0 {
		args = append(args, "failures_not_logged", skipped)
	}
	f.log.ErrorContext(ctx, "request failed", args...)
}

// fault writes an error that the site of k caused.
func (f *failures) fault(k *call.Call, err error) {
	if f.sites == nil {
		return
	}
	f.sites.Log(lateen.LogLine{
		Time: lateen.MillisOf(f.now()), Request: k.ID, Project: k.Site.Project, Deployment: k.Site.Deployment,
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
