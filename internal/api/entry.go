package api

import "net/http"

// readEntries sends requests whole, each with the lines it made user code
// write: those that were, newest first, or those that come, until the reader
// has enough.
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
		ctx, cancel := a.following(r)
		defer cancel()
		out := newLines(w)
		for e := range a.Logs.Tail(ctx, q) {
			if err := out.send(&e); err != nil {
				return nil // the reader is gone
			}
		}
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
			return nil // the reader is gone
		}
	}
	return nil
}
