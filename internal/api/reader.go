package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/share"
)

// Bounds of requests that read the log at the same time. Each team, and each token within
// its team, has a share. A reply of stored entries may be megabytes, which are held until
// the client has read it; a follower holds less, for longer.
const (
	logReaders   = 16
	logFollowers = 1024
)

var errReaders = &lateen.Error{
	Code: lateen.Exhausted, Reason: "too_many_log_readers", Message: "the team or the token has all its places for reading logs",
	Hint: "end some of the commands that read logs, then try again",
}

// admitReader takes a place among the readers of the log for r, and returns the function
// that gives it back. A request for stored entries waits for a place; a follower is
// refused where there is none.
func (a *API) admitReader(r *http.Request) (release func(), err error) {
	p := lateen.PrincipalFrom(r.Context())
	if strings.HasSuffix(r.URL.Path, "/runtime-logs") || flagOf(r, "follow") {
		if release, ok := a.followers.TryTake(string(p.Team), string(p.Token)); ok {
			return release, nil
		}
		return nil, errReaders
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), admitWithin, errReaders)
	defer cancel()
	release, err = a.readers.Take(ctx, string(p.Team), string(p.Token))
	if errors.Is(err, share.ErrFull) {
		err = errReaders
	}
	return release, err
}
