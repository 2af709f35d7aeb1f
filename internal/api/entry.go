package api

import (
	"errors"
	"net/http"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
)

var errNoRequest = &lateen.Error{Code: lateen.NotFound, Reason: "request_not_found", Message: "request not found in the log", Hint: "`lateen logs` shows a request shortly after its end; --log-age and --log-bytes limit the retention"}

// readEntries sends requests with the lines that user code wrote for them: recorded
// requests, newest first, or with follow=1 new requests until the reader
// disconnects.
func readEntries(a *API, w http.ResponseWriter, r *http.Request) error {
	p, err := a.Control.Project(r.Context(), r.PathValue("project"))
	if err != nil {
		return err
	}
	q, err := a.logQuery(r, p.ID)
	if err != nil {
		return err
	}
	if flagOf(r, "follow") {
		a.followEntries(w, r, q)
		return nil
	}
	if q.Limit, err = limitOf(r); err != nil {
		return err
	}
	entries, _, err := a.Logs.Query(r.Context(), q)
	if err != nil {
		return err
	}
	out := newLines(w)
	for i := range entries {
		if err := out.send(&entries[i]); err != nil {
			return nil //nolint:nilerr // the reader has disconnected
		}
	}
	return nil
}

type requestReply struct {
	Entries []observe.Entry `json:"entries"` // the request, and its late lines
}

// getRequest finds a request by its id alone, in all projects that the caller may
// read: an error page shows the id but no project.
func getRequest(a *API, r *http.Request, _ *none) (*requestReply, error) {
	id := lateen.ParseRequestID(r.PathValue("request"))
	found, _, err := a.Logs.Query(r.Context(), observe.Query{Request: id})
	if err != nil {
		return nil, err
	}
	reply := &requestReply{}
	for i := range found {
		_, err := a.Control.Project(r.Context(), string(found[i].Project))
		switch {
		case err == nil:
			reply.Entries = append(reply.Entries, found[i])
		case !errors.Is(err, lateen.ErrProjectNotFound):
			return nil, err
		}
	}
	if len(reply.Entries) == 0 {
		return nil, errNoRequest.With("the log has no request %.100q", id)
	}
	return reply, nil
}

// cursorHeader is the header with the start of a followed log: after=CURSOR resumes
// there.
const cursorHeader = "X-Lateen-Cursor"

// followEntries sends the entries of q after its cursor, and then new ones.
func (a *API) followEntries(w http.ResponseWriter, r *http.Request, q observe.Query) {
	ctx, cancel := a.following(r)
	defer cancel()
	if q.After == "" {
		q.After = a.Logs.Latest()
	}
	w.Header().Set(cursorHeader, q.After)
	out := newLines(w)
	defer out.keepAlive(ctx, cancel, a.KeepAlive)()
	for e := range a.Logs.Tail(ctx, q) {
		if err := out.send(&e); err != nil {
			return // the reader has disconnected
		}
	}
}
