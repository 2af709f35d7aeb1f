package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
)

const (
	tailFor    = 5 * time.Minute // limit of one connection; the CLI ends then as well
	searchBack = 24 * time.Hour  // range of a search without a start
	searchPage = 50
)

// logLine is a line of the live log: one written by user code, or a request.
type logLine struct {
	RowID            string        `json:"rowId"`
	Level            string        `json:"level"`
	Message          string        `json:"message"`
	MessageTruncated bool          `json:"messageTruncated"`
	Source           string        `json:"source"` // delimiter, edge-function, edge-middleware, serverless, request
	TimestampInMS    lateen.Millis `json:"timestampInMs"`
	Domain           string        `json:"domain"`
	RequestMethod    string        `json:"requestMethod"`
	RequestPath      string        `json:"requestPath"`
	ResponseStatus   int           `json:"responseStatusCode"`
}

// linesOf returns the lines of an entry: those that user code wrote for the request,
// or the request itself if there are none.
func linesOf(e *observe.Entry) []logLine {
	if e.Lost > 0 {
		return append([]logLine{{
			RowID: "lost-" + string(e.ID), Level: lateen.LevelWarning, Source: "delimiter", TimestampInMS: e.Time,
			Message: strconv.Itoa(e.Lost) + " entries were skipped: the log removed them before the reader received them",
		}}, linesOf(&observe.Entry{Record: e.Record, Lines: e.Lines, Rows: e.Rows})...)
	}
	line := logLine{
		RowID: string(e.ID), Level: levelOf(e), Source: "request", TimestampInMS: e.Time, Domain: e.Host,
		RequestMethod: e.Method, RequestPath: e.Path, ResponseStatus: e.Status,
	}
	if len(e.Lines) == 0 {
		return []logLine{line}
	}
	out := make([]logLine, 0, len(e.Lines))
	for i, written := range e.Lines {
		line.RowID = strconv.FormatInt(e.Rows[i], 10)
		line.Level, line.Message, line.MessageTruncated = written.Level, written.Text, written.Truncated
		line.TimestampInMS, line.Source = written.Time, sourceOf(e)
		out = append(out, line)
	}
	return out
}

// levelOf returns the severity of a request's result.
func levelOf(e *observe.Entry) string {
	switch {
	case e.Status >= 500 || e.Error != "":
		return lateen.LevelError
	case e.Status >= 400:
		return lateen.LevelWarning
	}
	return lateen.LevelInfo
}

// sourceOf returns the component that answered, in the terms of the vercel CLI.
func sourceOf(e *observe.Entry) string {
	switch e.Kind {
	case "function", "prerender", "":
		return "serverless"
	case "edge":
		return "edge-function"
	case "middleware":
		return "edge-middleware"
	}
	if len(e.Lines) > 0 && e.Middleware != nil {
		return "edge-middleware"
	}
	return e.Kind
}

func tailLogs(a *API, w http.ResponseWriter, r *http.Request) error {
	p, err := a.Control.Project(r.Context(), r.PathValue("project"))
	if err != nil {
		return err
	}
	d, err := a.Control.Deployment(r.Context(), r.PathValue("deployment"))
	if err != nil {
		return err
	}
	if d.Project != p.ID {
		return lateen.ErrDeploymentNotFound
	}
	ctx, stop := a.following(r)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, tailFor)
	defer cancel()
	out := newLines(w)
	defer out.keepAlive(ctx, cancel, a.KeepAlive)() // the vercel CLI skips empty lines
	for e := range a.Logs.Tail(ctx, observe.Query{Project: p.ID, Deployment: d.ID}) {
		for _, line := range linesOf(&e) {
			if err := out.send(line); err != nil {
				return nil // the reader has disconnected
			}
		}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		_ = out.send(logLine{Level: lateen.LevelError, Source: "delimiter", Message: "the stream ends after " + tailFor.String() + "; reconnect to continue"})
	}
	return nil
}

type searchReply struct {
	Rows        []logRow `json:"rows"`
	HasMoreRows bool     `json:"hasMoreRows"`
}

// logRow is a request with the lines of user code.
type logRow struct {
	RequestID     lateen.RequestID    `json:"requestId"`
	Timestamp     lateen.Millis       `json:"timestamp"`
	DeploymentID  lateen.DeploymentID `json:"deploymentId"`
	RequestMethod string              `json:"requestMethod"`
	RequestPath   string              `json:"requestPath"`
	StatusCode    int                 `json:"statusCode"`
	Environment   lateen.Environment  `json:"environment,omitempty"`
	Branch        string              `json:"branch,omitempty"`
	Cache         string              `json:"cache,omitempty"`
	CacheReason   string              `json:"cacheReason,omitempty"`
	TraceID       string              `json:"traceId,omitempty"`
	Domain        string              `json:"domain"`
	Logs          []rowLine           `json:"logs"`
	Events        []rowEvent          `json:"events"`
	Duration      float64             `json:"durationMs"`
}

type rowLine struct {
	Level            string        `json:"level"`
	Message          string        `json:"message"`
	MessageTruncated bool          `json:"messageTruncated"`
	Timestamp        lateen.Millis `json:"timestamp"`
}

type rowEvent struct {
	Source string `json:"source"`
}

func searchLogs(a *API, r *http.Request, _ *none) (*searchReply, error) {
	p, err := a.Control.Project(r.Context(), r.URL.Query().Get("projectId"))
	if err != nil {
		return nil, err
	}
	query, err := a.logQuery(r, p.ID)
	if err != nil {
		return nil, err
	}
	entries, more, err := a.Logs.Query(r.Context(), query)
	if err != nil {
		return nil, err
	}
	reply := &searchReply{Rows: make([]logRow, 0, len(entries)), HasMoreRows: more}
	for i := range entries {
		reply.Rows = append(reply.Rows, rowOf(&entries[i]))
	}
	return reply, nil
}

// logQuery returns the filter that a request has for a project's logs.
func (a *API) logQuery(r *http.Request, project lateen.ProjectID) (q observe.Query, err error) {
	values := r.URL.Query()
	q = observe.Query{
		Project: project, Deployment: lateen.DeploymentID(values.Get("deploymentId")),
		Status: values.Get("statusCode"), Source: values.Get("source"),
		Search: values.Get("search"), Request: lateen.ParseRequestID(values.Get("requestId")),
		Branch: values.Get("branch"), Environment: lateen.Environment(values.Get("environment")), Before: values.Get("before"), After: values.Get("after"), Limit: searchPage,
	}
	if q.Levels, err = wordsOf[string](r, "level"); err != nil {
		return q, err
	}
	if q.Since, err = millisOf(r, "startDate"); err != nil {
		return q, err
	}
	if q.Since == 0 {
		q.Since = lateen.MillisOf(a.Now().Add(-searchBack))
	}
	if q.Until, err = millisOf(r, "endDate"); err != nil {
		return q, err
	}
	if text := values.Get("page"); text != "" {
		if q.Page, err = strconv.Atoi(text); err != nil || q.Page < 0 {
			return q, lateen.ErrInvalid.With("page is %q: it must be a number from 0", text)
		}
	}
	return q, q.Validate()
}

func rowOf(e *observe.Entry) logRow {
	row := logRow{
		RequestID: e.ID, Timestamp: e.Time, DeploymentID: e.Deployment, RequestMethod: e.Method, RequestPath: e.Path,
		StatusCode: e.Status, Environment: e.Target, Branch: e.Branch, Cache: e.Cache, CacheReason: e.CacheReason,
		TraceID: e.TraceID, Domain: e.Host, Logs: make([]rowLine, 0, len(e.Lines)),
		Events: []rowEvent{{Source: sourceOf(e)}}, Duration: float64(e.Duration) / float64(time.Millisecond),
	}
	for _, line := range e.Lines {
		row.Logs = append(row.Logs, rowLine{Level: line.Level, Message: line.Text, MessageTruncated: line.Truncated, Timestamp: line.Time})
	}
	if len(row.Logs) == 0 && e.Error != "" {
		row.Logs = append(row.Logs, rowLine{Level: lateen.LevelError, Message: e.Error, Timestamp: e.Time})
	}
	return row
}
