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

// upgradeOf returns the protocol that a request or response with header h
// wants to switch to: websocket, or "". Others do not pass: HTTP/2 behind an
// upgrade, above all, would carry requests past every rule of the edge.
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

// asksFor returns the protocol that the request, whose header is h by now, asks
// to switch to, or "". Only a GET without a body over HTTP/1.1 can: RFC 6455
// §4.1, RFC 9110 §7.8. With a body, the server behind could take that for the
// first bytes of the other protocol, or for another request. The fields of an
// upgrade are ignored in any other request, as RFC 9110 permits.
func (x *exchange) asksFor(h http.Header) string {
	if x.req.Method != http.MethodGet || x.method() != http.MethodGet || x.body != nil || x.req.ProtoMajor != 1 || x.req.ProtoMinor < 1 {
		return ""
	}
	return upgradeOf(h)
}

// acceptsTrailers reports whether the sender of h takes trailers.
func acceptsTrailers(h http.Header) bool {
	for name := range accept.List(h["Te"]) {
		if name == "trailers" {
			return true
		}
	}
	return false
}

// upgrade joins the client's connection with that of resp, which switched
// protocols: from here on both ends talk past HTTP, until one of them leaves,
// the request's context ends or the edge drains.
func (x *exchange) upgrade(resp *http.Response) {
	far, ok := resp.Body.(io.ReadWriteCloser)
	asked := x.asksFor(x.req.Header)
	if !ok || asked == "" || upgradeOf(resp.Header) != asked {
		resp.Body.Close()
		x.fail(lateen.ErrFunctionNoResponse.With("the response switches to a protocol that was not asked for"))
		return
	}
	defer far.Close()
	near, rw, err := x.w.deadlines.Hijack()
	if err != nil { // HTTP/2 has no such thing
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
	resp.Header["Connection"], resp.Header["Upgrade"] = []string{"Upgrade"}, []string{asked}
	resp.Body = nil
	x.learn(x.status, resp.Header)
	if err := errors.Join(resp.Write(rw), rw.Flush()); err != nil {
		return
	}
	x.done = true
	in := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(far, rw) // a connection that breaks ends both ways
		leave()
		in <- n
	}()
	x.w.written, _ = io.Copy(near, far)
	leave()
	x.upgraded = <-in
}
