// Package header has the rules for header fields: those that only the platform may send,
// those that end at a connection, and those that conditions and cookies have.
package header

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Invocation is the request header that carries, to a function, the ID of the call. A
// framework caches its rendering under this ID, for all parts of one page; without
// it, a refreshed page could repeat an earlier rendering.
const Invocation = "X-Invocation-Id"

// platformRequest are the request headers that only the platform may send to user
// code. The edge removes those of clients.
var platformRequest = map[string]bool{
	"Forwarded": true, "X-Forwarded-For": true, "X-Forwarded-Host": true, "X-Forwarded-Port": true,
	"X-Forwarded-Proto": true, "X-Forwarded-Server": true, "X-Real-Ip": true,
	"X-Matched-Path": true, "X-Now-Route-Matches": true, "X-Vercel-Isr": true,
	"Next-Resume": true, "X-Next-Resume-State-Length": true, "X-Nextjs-Postponed": true,
	"X-Vercel-Id": true, "X-Vercel-Cache": true, "X-Vercel-Error": true, "X-Vercel-Deployment-Url": true,
	"X-Vercel-Forwarded-For": true, "X-Vercel-Proxied-For": true, "X-Vercel-Proxy-Signature": true,
	"X-Vercel-Proxy-Signature-Ts": true, "X-Vercel-Ja3-Digest": true, "X-Vercel-Ja4-Digest": true,
	"X-Vercel-Oidc-Token": true, "X-Vercel-Cron-Schedule": true, Invocation: true,
}

// platformRequestPrefixes are name prefixes of further headers that only the platform
// may send. X-Middleware-Prefetch is an exception: clients send it.
var platformRequestPrefixes = []string{"X-Vercel-Internal-", "X-Vercel-Sc-", "X-Vercel-Ip-", "X-Middleware-", "X-Invoke-", "X-Lateen-"} //nolint:gochecknoglobals // a constant in all but name

// platformResponse are the headers of an output's response that are meant for the
// platform or that only the platform may set.
var platformResponse = []string{ //nolint:gochecknoglobals // a constant in all but name
	"X-Vercel-Cache-Tag", "Vercel-Cache-Tag", "X-Next-Cache-Tags", "Vercel-Cdn-Cache-Control",
	"X-Vercel-Id", "X-Vercel-Cache", "X-Vercel-Error", "Server", "Date", "Alt-Svc",
	"X-Middleware-Next", "X-Middleware-Rewrite", "X-Middleware-Override-Headers", "X-Middleware-Refresh",
}

// PlatformOnly reports whether clients may not send the header name (canonical). It
// treats '_' as '-', as the gateway interfaces of some languages do.
func PlatformOnly(name string) bool {
	if strings.Contains(name, "_") {
		name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	if platformRequest[name] {
		return true
	}
	for _, prefix := range platformRequestPrefixes {
		if strings.HasPrefix(name, prefix) {
			return name != "X-Middleware-Prefetch"
		}
	}
	return false
}

// CleanRequest returns h without the fields that a client may not send and without
// the fields that its Connection nominates. It returns h itself if there is nothing
// to remove, else a copy.
//
// The edge removes nominated fields on receipt, before routes and middleware add
// fields of their own, so that a client cannot remove those.
func CleanRequest(h http.Header) http.Header {
	out := h
	drop := func(name string) {
		if _, there := out[name]; there && len(out) == len(h) {
			out = maps.Clone(h)
		}
		delete(out, name)
	}
	for name := range h {
		if PlatformOnly(name) {
			drop(name)
		}
	}
	for name := range Nominated(h) {
		drop(name)
	}
	return out
}

// inContentOnly are the fields that are useless or dangerous in a trailer: those of
// framing, routing and authentication, and those about the content itself (RFC 9110
// §6.5.1).
var inContentOnly = []string{ //nolint:gochecknoglobals // a constant in all but name
	"Host", "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Cache-Control", "Expect", "Max-Forwards",
	"Authorization", "Cookie", "Set-Cookie", "Www-Authenticate", "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range",
}

// CleanTrailer removes from the trailer of a request or a response the fields that
// its header could not have either, and those that a trailer may not have.
func CleanTrailer(t http.Header) {
	if len(t) == 0 {
		return
	}
	CleanResponse(t)
	DropHopByHop(t)
	maps.DeleteFunc(t, func(name string, _ []string) bool { return PlatformOnly(name) || slices.Contains(inContentOnly, name) })
}

// CleanResponse removes from an output's own header the fields that are not for the client.
func CleanResponse(h http.Header) {
	for _, name := range platformResponse {
		delete(h, name)
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Vercel-Internal-") || strings.HasPrefix(name, "X-Lateen-") || strings.HasPrefix(name, "X-Middleware-Request-") {
			delete(h, name)
		}
	}
}
