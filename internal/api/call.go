package api

import (
	"net/http"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/share"
)

// Limits of concurrent requests. Each team, and each token in its team, has a share.
// The database serializes the writes of all tenants, so a limit for one tenant
// shortens the wait of others.
const (
	callsAtOnce     = 16
	manifestsAtOnce = 8
)

var errCalls = &lateen.Error{
	Code: lateen.Exhausted, Reason: "too_many_calls", Message: "the team or the token is at its limit of concurrent API calls",
	Hint: "send fewer concurrent requests, then try again",
}

// admitCall waits for a place for r, whose body has been read, and returns a function
// that releases the place. An anonymous request needs none: its body is small, and it
// reads or changes little.
func admitCall(r *http.Request, places *share.Places[string]) (release func(), err error) {
	p := lateen.PrincipalFrom(r.Context())
	if p.User == "" {
		return func() {}, nil
	}
	tenant := string(p.Team)
	if tenant == "" { // a call without a team
		tenant = string(p.User)
	}
	return awaitPlace(r.Context(), places, errCalls, tenant, string(p.Token))
}
