package edge

import (
	"iter"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/route"
)

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
	"X-Vercel-Oidc-Token": true, "X-Vercel-Cron-Schedule": true, headerInvocation: true,
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

// hopByHop are the headers that apply to one connection only (RFC 9110 §7.6.1).
var hopByHop = []string{ //nolint:gochecknoglobals // a constant in all but name
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// platformOnly reports whether clients may not send the header name (canonical). It
// treats '_' as '-', as the gateway interfaces of some languages do.
func platformOnly(name string) bool {
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

// cleanRequest returns h without the fields that a client may not send and without
// the fields that its Connection nominates. It returns h itself if there is nothing
// to remove, else a copy.
//
// The edge removes nominated fields on receipt, before routes and middleware add
// fields of their own, so that a client cannot remove those.
func cleanRequest(h http.Header) http.Header {
	out := h
	drop := func(name string) {
		if _, there := out[name]; there && len(out) == len(h) {
			out = maps.Clone(h)
		}
		delete(out, name)
	}
	for name := range h {
		if platformOnly(name) {
			drop(name)
		}
	}
	for name := range nominated(h) {
		drop(name)
	}
	return out
}

// nominated yields the names (canonical) of the fields that the Connection fields of
// h declare to be hop-by-hop (RFC 9110 §7.6.1), without those in hopByHop.
func nominated(h http.Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, list := range h["Connection"] {
			for option := range strings.SplitSeq(list, ",") {
				name := textproto.CanonicalMIMEHeaderKey(textproto.TrimString(option))
				if name != "" && !slices.Contains(hopByHop, name) && !yield(name) {
					return
				}
			}
		}
	}
}

// dropNominated removes from h the fields that its Connection nominates.
func dropNominated(h http.Header) {
	for name := range nominated(h) {
		delete(h, name)
	}
}

// dropHopByHop removes the hop-by-hop fields from h. The edge removes the nominated
// ones on receipt: see [cleanRequest], [dropNominated].
func dropHopByHop(h http.Header) {
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// inContentOnly are the fields that are useless or dangerous in a trailer: those of
// framing, routing and authentication, and those about the content itself (RFC 9110
// §6.5.1).
var inContentOnly = []string{ //nolint:gochecknoglobals // a constant in all but name
	"Host", "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Cache-Control", "Expect", "Max-Forwards",
	"Authorization", "Cookie", "Set-Cookie", "Www-Authenticate", "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range",
}

// cleanTrailer removes from the trailer of a request or a response the fields that
// its header could not have either, and those that a trailer may not have.
func cleanTrailer(t http.Header) {
	if len(t) == 0 {
		return
	}
	cleanResponse(t)
	dropHopByHop(t)
	maps.DeleteFunc(t, func(name string, _ []string) bool { return platformOnly(name) || slices.Contains(inContentOnly, name) })
}

// cleanResponse removes from an output's own header the fields that are not for the client.
func cleanResponse(h http.Header) {
	for _, name := range platformResponse {
		delete(h, name)
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Vercel-Internal-") || strings.HasPrefix(name, "X-Lateen-") || strings.HasPrefix(name, "X-Middleware-Request-") {
			delete(h, name)
		}
	}
}

// platformHeader adds the platform's fields to the header of a response.
func (x *exchange) platformHeader(h http.Header) {
	v := make(values, 0, 4)
	h["Server"] = serverName
	h["X-Vercel-Id"] = v.of(x.edge.o.Region + "::" + string(x.id))
	if x.record.Cache != "" {
		h["X-Vercel-Cache"] = v.of(x.record.Cache)
	}
	if x.problem != nil && x.record.Error != "" {
		h["X-Vercel-Error"] = v.of(x.problem.code)
	}
	if cookies := h["Set-Cookie"]; cookies != nil {
		h["Set-Cookie"] = withoutSharedDomain(cookies, x.edge.o.Domain)
	}
	h["Cache-Control"] = clientCacheControl(h["Cache-Control"])
	if start := x.startText(); start != "" {
		h["X-Lateen-Start"] = v.of(start)
	}
	if x.client.proto == "https" && h["Strict-Transport-Security"] == nil {
		h["Strict-Transport-Security"] = strictTransport
	}
	if x.hidden() && h["X-Robots-Tag"] == nil {
		h["X-Robots-Tag"] = noIndex
	}
}

// startText returns the kind of start of the function that answered and the time of
// each phase before it, such as blank;claim=0.1ms;load=1.9ms. It is "" if no function
// answered or the project does not show it.
func (x *exchange) startText() string {
	inv := x.record.Invocation
	if x.record.Kind == kindMiddleware {
		inv = x.record.Middleware
	}
	if inv == nil || inv.Start == "" || !x.site.ShowsStart {
		return ""
	}
	b := append(make([]byte, 0, 48), inv.Start...)
	for _, phase := range [...]struct {
		name string
		took time.Duration
	}{{"queue", inv.Queue}, {"claim", inv.Claim}, {"load", inv.Load}} {
		if phase.took < 50*time.Microsecond { // it would round to 0.0
			continue
		}
		b = append(append(append(b, ';'), phase.name...), '=')
		b = strconv.AppendFloat(b, phase.took.Seconds()*1000, 'f', 1, 64)
		b = append(b, "ms"...)
	}
	return string(b)
}

// Values that many responses share; they are never modified.
//
//nolint:gochecknoglobals // constants in all but name
var (
	serverName      = []string{"Lateen"}
	strictTransport = []string{"max-age=63072000"}
	noIndex         = []string{"noindex"}
	closing         = []string{"close"}
	revalidate      = []string{"public, max-age=0, must-revalidate"}

	revalidateUntransformed = []string{"public, max-age=0, must-revalidate, no-transform"}
)

// hidden reports whether search engines should not index this URL: that of a preview,
// or of the own host of a deployment, which becomes outdated. A custom domain of a
// preview is indexed, because its owner chose a public name.
func (x *exchange) hidden() bool {
	return x.site != nil && (x.client.hostname == x.site.Host ||
		x.site.Target != "production" && strings.HasSuffix(x.client.hostname, "."+x.edge.o.Domain))
}

// clientCacheControl returns the Cache-Control for the client: without s-maxage and
// the stale- directives, which are for the CDN. If no directive about the lifetime is
// left, the client must revalidate the response.
func clientCacheControl(values []string) []string {
	if len(values) == 0 {
		return revalidate
	}
	var kept []string
	decided, shared, fixed := false, false, false
	for directive := range strings.SplitSeq(strings.Join(values, ","), ",") {
		directive = strings.TrimSpace(directive)
		name, _, _ := strings.Cut(strings.ToLower(directive), "=")
		switch name {
		case "s-maxage", "stale-while-revalidate", "stale-if-error":
			shared = true
			continue
		case "max-age", "no-store", "no-cache", "private":
			decided = true
		case "no-transform":
			fixed = true
		case "":
			continue
		}
		kept = append(kept, directive)
	}
	switch {
	case !shared:
		return values
	case !decided && fixed:
		return revalidateUntransformed
	case !decided:
		return revalidate
	default:
		return []string{strings.Join(kept, ", ")}
	}
}

// functionHeader sets on h the platform's fields about the request for a function.
func (x *exchange) functionHeader(h http.Header, d *route.Decision) {
	v := x.forwardedHeader(h)
	if ip := x.client.ip; ip != "" {
		one := v.of(ip)
		h["X-Real-Ip"], h["X-Vercel-Forwarded-For"], h["X-Vercel-Proxied-For"] = one, one, one
	}
	h["X-Vercel-Deployment-Url"] = v.of(x.site.Host)
	h["X-Matched-Path"] = v.of(d.MatchedPath)
	if _, kept := x.site.Manifest.Prerenders[d.Output]; kept {
		h["X-Vercel-Isr"] = v.of("1")
	}
}

// platformField returns the value of a field that only the platform sets, for the
// conditions of routes; "" for a field that clients may send.
func (x *exchange) platformField(key string) string {
	if !platformOnly(key) {
		return ""
	}
	h := make(http.Header, 12)
	x.functionHeader(h, &route.Decision{})
	return h.Get(key)
}

// forwardedHeader sets on h the fields about the client and its request that functions
// and origins get. It returns memory for further values.
func (x *exchange) forwardedHeader(h http.Header) values {
	v := make(values, 0, 12)
	c := &x.client
	if c.ip != "" {
		h["X-Forwarded-For"] = v.of(c.ip)
	}
	h["X-Forwarded-Host"] = v.of(c.host)
	h["X-Forwarded-Proto"] = v.of(c.proto)
	h["X-Forwarded-Port"] = v.of(c.port())
	h["Forwarded"] = v.of(address.Forwarding(c.ip, c.host, c.proto))
	h["X-Vercel-Id"] = v.of(x.edge.o.Region + "::" + x.edge.o.Region + "::" + string(x.id))
	h["Traceparent"] = v.of(traceparent(&x.record))
	return v
}
