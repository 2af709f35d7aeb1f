package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
)

// event is a line of a build log. An event without created is only a sign that the
// connection is alive, or a change of state.
type event struct {
	Type         string              `json:"type"`
	Created      lateen.Millis       `json:"created,omitempty"`
	Date         lateen.Millis       `json:"date,omitempty"`
	DeploymentID lateen.DeploymentID `json:"deploymentId,omitempty"`
	ID           string              `json:"id,omitempty"`
	Serial       int64               `json:"serial,omitempty"`
	Text         string              `json:"text"`
	Level        string              `json:"level,omitempty"`
	Info         map[string]string   `json:"info,omitempty"`
}

func buildLogLineOf(e *lateen.BuildLogLine) event {
	if e.CreatedAt == 0 {
		return event{Type: "keep-alive"}
	}
	out := event{
		Type: e.Type, Created: e.CreatedAt, Date: e.CreatedAt, DeploymentID: e.Deployment,
		ID: string(e.Deployment) + "-" + strconv.FormatInt(e.Serial, 10), Serial: e.Serial, Text: e.Text, Level: e.Level, Info: e.Info,
	}
	if e.Type == "deployment-state" {
		out.Created = 0
	}
	return out
}

// aliasAssigned is the last line of a followed build log of a successful deployment:
// all hosts are assigned.
type aliasAssigned struct {
	Type         string              `json:"type"`
	DeploymentID lateen.DeploymentID `json:"deploymentId"`
	Date         lateen.Millis       `json:"date"`
	Alias        []string            `json:"alias"`
	AliasError   *string             `json:"aliasError"`
	AliasWarning *string             `json:"aliasWarning"`
}

func readEvents(a *API, w http.ResponseWriter, r *http.Request) error {
	filter, err := buildLogFilter(r)
	if err != nil {
		return err
	}
	lines := r.URL.Query().Get("format") == "lines"
	filter.Follow = filter.Follow && lines
	ctx, cancel := a.following(r)
	defer cancel()
	d, events, err := a.Control.BuildLog(ctx, r.PathValue("deployment"), filter)
	if stopped(ctx, r) {
		return errStopping
	}
	if err != nil {
		return err
	}
	if !filter.Follow {
		return sendBuildLog(w, r, lines, events)
	}
	out := newLines(w)
	for e, err := range events {
		if stopped(ctx, r) {
			panic(http.ErrAbortHandler) // the reader reconnects
		}
		if err != nil {
			return abort(a, r, err)
		}
		if err := out.send(buildLogLineOf(&e)); err != nil {
			return nil // the reader has disconnected
		}
	}
	if d, err = a.Control.Deployment(ctx, string(d.ID)); err != nil || d.AliasedAt == 0 {
		return nil // deleted or canceled meanwhile
	}
	hosts, err := a.Control.AliasHosts(ctx, d.ID)
	if err != nil {
		return abort(a, r, err)
	}
	_ = out.send(aliasAssigned{Type: "alias-assigned", DeploymentID: d.ID, Date: d.AliasedAt, Alias: hosts})
	return nil
}

func buildLogFilter(r *http.Request) (control.BuildLogFilter, error) {
	filter := control.BuildLogFilter{Follow: flagOf(r, "follow")}
	var err error
	if filter.Since, err = millisOf(r, "since"); err != nil {
		return filter, err
	}
	until := "untilTime"
	if r.URL.Query().Get(until) == "" {
		until = "until"
	}
	if filter.Until, err = millisOf(r, until); err != nil {
		return filter, err
	}
	if text := r.URL.Query().Get("limit"); text != "" && text != "-1" {
		if filter.Limit, err = strconv.Atoi(text); err != nil || filter.Limit < 0 {
			return filter, lateen.ErrInvalid.With("limit is %q", text)
		}
	}
	return filter, nil
}

// sendBuildLog sends the current build log, as lines or as one list.
func sendBuildLog(w http.ResponseWriter, r *http.Request, lines bool, events func(func(lateen.BuildLogLine, error) bool)) error {
	list := []event{}
	for e, err := range events {
		if err != nil {
			return err
		}
		list = append(list, buildLogLineOf(&e))
	}
	if r.URL.Query().Get("direction") == "backward" {
		slices.Reverse(list)
	}
	if !lines {
		writeJSON(w, http.StatusOK, list)
		return nil
	}
	out := newLines(w)
	for _, e := range list {
		if err := out.send(e); err != nil {
			return nil // the reader has disconnected
		}
	}
	return nil
}

// lineWriter sends JSON values, one per line, without buffering.
type lineWriter struct {
	mu      sync.Mutex // guards the fields below
	writer  io.Writer
	encoder *json.Encoder
	control *http.ResponseController
}

// writeWithin is the time limit for a reader to receive a line.
const writeWithin = 30 * time.Second

func newLines(w http.ResponseWriter) *lineWriter {
	w.Header().Set("Content-Type", ndjson)
	w.WriteHeader(http.StatusOK)
	l := &lineWriter{writer: w, encoder: json.NewEncoder(w), control: http.NewResponseController(w)}
	_ = l.control.Flush() // sends the header
	return l
}

func (l *lineWriter) send(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.control.SetWriteDeadline(time.Now().Add(writeWithin)) // not every writer supports deadlines
	if err := l.encoder.Encode(v); err != nil {
		return err
	}
	return l.control.Flush()
}

// keepAlive sends empty lines at an interval until ctx ends or stop is called, which
// waits for the last line. If a line cannot be sent, it calls cancel.
func (l *lineWriter) keepAlive(ctx context.Context, cancel context.CancelFunc, every time.Duration) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := l.sendEmpty(); err != nil {
				cancel()
				return
			}
		}
	})
	return func() {
		end()
		wg.Wait()
	}
}

func (l *lineWriter) sendEmpty() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.control.SetWriteDeadline(time.Now().Add(writeWithin)) // not every writer supports deadlines
	if _, err := io.WriteString(l.writer, "\n"); err != nil {
		return err
	}
	return l.control.Flush()
}

// following returns the context of a long-running request. It ends with the request,
// when the platform begins to stop, and when the caller loses the authorization for
// the request.
func (a *API) following(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	select {
	case <-a.Stopping: // immediately, before any work begins
		cancel()
		return ctx, cancel
	default:
	}
	go func() {
		defer cancel()
		again := time.NewTicker(a.KeepAlive)
		defer again.Stop()
		for {
			select {
			case <-a.Stopping:
				return
			case <-ctx.Done():
				return
			case <-again.C:
				if a.lost(r) {
					return
				}
			}
		}
	}()
	return ctx, cancel
}

// stopped reports whether the context ctx of following ended before r. The reader
// should reconnect, and then gets the reason.
func stopped(ctx context.Context, r *http.Request) bool {
	return ctx.Err() != nil && r.Context().Err() == nil
}

// abort aborts a response that has begun, so that the reader reconnects.
func abort(a *API, r *http.Request, err error) error {
	if r.Context().Err() == nil {
		a.Log.ErrorContext(r.Context(), "stream failed", "path", r.URL.Path, "request_id", lateen.RequestIDFrom(r.Context()), "err", err)
	}
	panic(http.ErrAbortHandler)
}
