package api

import (
	"net/http"

	"github.com/lateen-dev/lateen"
)

// Debugger shows the state of the platform's process.
type Debugger interface {
	// Profile answers with a profile of the process, named in the path.
	Profile(w http.ResponseWriter, r *http.Request) error
	// Bundle answers with an archive of everything that helps to find a fault.
	Bundle(w http.ResponseWriter, r *http.Request) error
}

// debugs makes a handler of requests to the [Debugger], whose work ends when the
// platform begins to stop.
func debugs(contentType string, serve func(Debugger, http.ResponseWriter, *http.Request) error) handler {
	return stream(contentType, func(a *API, w http.ResponseWriter, r *http.Request) error {
		if err := a.Control.MayDebug(r.Context()); err != nil {
			return err
		}
		if a.Debug == nil {
			return lateen.ErrNotFound.With("this platform has no debug endpoints")
		}
		ctx, cancel := a.following(r)
		defer cancel()
		return serve(a.Debug, w, r.WithContext(ctx))
	})
}
