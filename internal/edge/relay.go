package edge

import (
	"net/http"

	"github.com/lateen-dev/lateen/internal/edge/header"
)

// relay streams resp to the client.
func (x *exchange) relay(resp *http.Response) error {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return x.upgrade(resp)
	}
	if resp.ContentLength < 0 {
		delete(resp.Header, "Content-Length")
	}
	x.respond(resp.StatusCode, resp.Header, resp.Body)
	header.CleanTrailer(resp.Trailer)
	for name, values := range resp.Trailer { // known since the body has ended
		x.w.Header()[http.TrailerPrefix+name] = values
	}
	return nil
}

// blame returns the cause of err, an error of passing the request on: the client's
// fault if its body was too large or stalled, else err.
func (x *exchange) blame(err error) error {
	if fault := x.body.fault(); fault != nil {
		return fault
	}
	return err
}
