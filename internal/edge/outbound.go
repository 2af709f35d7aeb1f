package edge

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/route"
)

// outbound returns the client's request for the URL u.
func (x *exchange) outbound(u *url.URL, d *route.Decision) *http.Request {
	h := header.Onward(d.RequestHeader)
	if x.problem != nil || d.Status != 0 {
		header.DropConditions(h)
	}
	if upgrade := x.wantedUpgrade(d.RequestHeader); upgrade != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	}
	if acceptsTrailers(d.RequestHeader) {
		h["Te"] = []string{"trailers"}
	}
	req := &http.Request{
		Method: x.method(), URL: u, Header: h, Host: x.Client.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if x.body == nil || req.Method != x.req.Method {
		delete(h, "Content-Length")
		return req
	}
	req.Body, req.ContentLength = x.req.Body, x.req.ContentLength
	if req.ContentLength < 0 {
		req.Trailer = x.req.Trailer
	}
	if !x.w.http2 {
		_ = x.w.deadlines.EnableFullDuplex() // a response may begin before the request has ended
	}
	return req
}

// method returns the method of the request to an output: an error page is requested
// with GET, or with HEAD if the client sent HEAD.
func (x *exchange) method() string {
	if x.req.Method != http.MethodHead && (x.problem != nil || x.decision.Status >= 400) {
		return http.MethodGet
	}
	return x.req.Method
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
