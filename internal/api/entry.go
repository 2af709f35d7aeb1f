package api

import (
	"net/http"

	"github.com/lateen-dev/lateen/internal/observe"
)

// readEntries sends requests whole, each with the lines it made user code
// write: those that were, newest first, or with follow=1 those that come, until the
// reader has enough.
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
			return nil //nolint:nilerr // the reader is gone
		}
	}
	return nil
}

// cursorHeader says where a followed log begins: after=CURSOR goes on there.
const cursorHeader = "X-Lateen-Cursor"

// followEntries sends what q chooses after its cursor, and then what comes.
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
			return // the reader is gone
		}
	}
}
