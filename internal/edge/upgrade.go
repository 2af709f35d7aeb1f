package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
)

// upgradeOf returns the protocol to which a request or response with header h switches:
// websocket, or "". The edge supports no other protocol: HTTP/2 after an upgrade, in
// particular, would carry requests past every rule of the edge.
func upgradeOf(h http.Header) string {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(name), "upgrade") && strings.EqualFold(h.Get("Upgrade"), "websocket") {
				return "websocket"
			}
		}
	}
	return ""
}

// wantedUpgrade returns the protocol to which the request wants to switch, or "". h is its
// current header. Only a GET without a body over HTTP/1.1 can switch: RFC 6455 §4.1,
// RFC 9110 §7.8. The server behind the edge could take a body for the first bytes of
// the other protocol, or for another request. The edge ignores the upgrade fields of
// any other request, as RFC 9110 permits.
func (x *exchange) wantedUpgrade(h http.Header) string {
	if x.req.Method != http.MethodGet || x.method() != http.MethodGet || x.body != nil || x.req.ProtoMajor != 1 || x.req.ProtoMinor < 1 {
		return ""
	}
	return upgradeOf(h)
}

// acceptsTrailers reports whether the sender of h accepts trailers.
func acceptsTrailers(h http.Header) bool {
	for name := range accept.List(h["Te"]) {
		if name == "trailers" {
			return true
		}
	}
	return false
}

// upgrade connects the client's connection with that of resp, which switched
// protocols, and copies bytes in both directions until one side closes, the request's
// context ends or the edge drains.
func (x *exchange) upgrade(resp *http.Response) {
	far, ok := resp.Body.(io.ReadWriteCloser)
	wanted := x.wantedUpgrade(x.req.Header)
	if !ok || wanted == "" || upgradeOf(resp.Header) != wanted {
		resp.Body.Close()
		x.fail(lateen.ErrFunctionNoResponse.With("the response switches to a protocol that the request did not ask for"))
		return
	}
	defer far.Close()
	near, rw, err := x.w.deadlines.Hijack()
	if err != nil { // HTTP/2 connections cannot be hijacked
		x.fail(lateen.ErrFunctionNoResponse.Because(err))
		return
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
		return
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
}
