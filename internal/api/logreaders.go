package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/share"
)

// How many callers read the log at once, of which each team and in it each token has a
// share: a reply may be megabytes, which are held until it has been taken, and who
// follows holds less for longer.
const (
	logReaders   = 16
	logFollowers = 1024
)

var errReaders = &lateen.Error{
	Code: lateen.Exhausted, Reason: "too_many_log_readers", Message: "this team or this token reads logs as often at once as it may",
	Hint: "end some of the commands that read logs, then try again",
}

// admitReader returns what gives back the place that r has among those who read the
// log. Who asks for what there is waits for one.
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
