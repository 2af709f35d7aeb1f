package edge

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// upgrade connects the client's connection with that of resp, which switched
// protocols, and copies bytes in both directions until one side closes, the request's
// context ends or the edge drains.
func (x *exchange) upgrade(resp *http.Response) error {
	far, ok := resp.Body.(io.ReadWriteCloser)
	wanted := x.wantedUpgrade(x.req.Header)
	if !ok || wanted == "" || upgradeOf(resp.Header) != wanted {
		resp.Body.Close()
		return lateen.ErrFunctionNoResponse.With("the response switches to a protocol that the request did not ask for")
	}
	defer far.Close()
	near, rw, err := x.w.deadlines.Hijack()
	if err != nil { // HTTP/2 connections cannot be hijacked
		return lateen.ErrFunctionNoResponse.Because(err)
	}
	ctx, leave := context.WithCancel(x.req.Context())
	defer leave()
	go func() {
		select {
		case <-ctx.Done():
		case <-x.edge.server.Draining():
		}
		_ = near.Close()
		_ = far.Close()
	}()

	x.status = x.complete(resp.StatusCode, resp.Header)
	resp.Header["Connection"], resp.Header["Upgrade"] = []string{"Upgrade"}, []string{wanted}
	resp.Body = nil
	x.learn(x.status, resp.Header)
	if err := errors.Join(resp.Write(rw), rw.Flush()); err != nil {
		return nil // the client is gone; end records that
	}
	x.done = true
	in := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(far, rw) // a broken connection ends both directions
		leave()
		in <- n
	}()
	x.w.written, _ = io.Copy(near, far)
	leave()
	x.upgraded = <-in
	return nil
}
