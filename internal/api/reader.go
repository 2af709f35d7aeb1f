package api

import (
	"net/http"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Limits of concurrent requests for logs. Each team, and each token in its team, has
// a share. A reply with stored entries may have megabytes, held in memory until the
// client has read them. A follower uses less memory, for longer.
const (
	logReaders   = 16
	logFollowers = 1024
)

var errReaders = &lateen.Error{
	Code: lateen.Exhausted, Reason: "too_many_log_readers", Message: "the team or the token is at its limit of concurrent log readers",
	Hint: "stop some commands that read logs, then try again",
}

// admitReader takes a place among the readers of logs for r, and returns a function
// that releases it. A request for stored entries waits for a place; a follower
// without a free place is refused.
func (a *API) admitReader(r *http.Request) (release func(), err error) {
	p := lateen.PrincipalFrom(r.Context())
	if strings.HasSuffix(r.URL.Path, "/runtime-logs") || flagOf(r, "follow") {
		if release, ok := a.followers.TryTake(string(p.Team), string(p.Token)); ok {
			return release, nil
		}
		return nil, errReaders
	}
	return awaitPlace(r.Context(), a.readers, errReaders, string(p.Team), string(p.Token))
}
