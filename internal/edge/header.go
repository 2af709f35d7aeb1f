package edge

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/route"
)

// platformHeader adds the platform's fields to the header of a response.
func (x *exchange) platformHeader(h http.Header) {
	v := make(header.Values, 0, 4)
	h["Server"] = serverName
	h["X-Vercel-Id"] = v.Of(x.edge.o.Region + "::" + string(x.id))
	if x.record.Cache != "" {
		h["X-Vercel-Cache"] = v.Of(x.record.Cache)
	}
	if x.problem != nil && x.record.Error != "" {
		h["X-Vercel-Error"] = v.Of(x.problem.Code)
	}
	if cookies := h["Set-Cookie"]; cookies != nil {
		h["Set-Cookie"] = header.HostOnly(cookies, x.edge.o.Domain)
	}
	h["Cache-Control"] = cache.ClientControl(h["Cache-Control"])
	if start := x.startText(); start != "" {
		h["X-Lateen-Start"] = v.Of(start)
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
)

// hidden reports whether search engines should not index this URL: that of a preview,
// or of the own host of a deployment, which becomes outdated. A custom domain of a
// preview is indexed, because its owner chose a public name.
func (x *exchange) hidden() bool {
	return x.site != nil && (x.client.hostname == x.site.Host ||
		x.site.Target != "production" && strings.HasSuffix(x.client.hostname, "."+x.edge.o.Domain))
}

// functionHeader sets on h the platform's fields about the request for a function.
func (x *exchange) functionHeader(h http.Header, d *route.Decision) {
	v := x.forwardedHeader(h)
	if ip := x.client.ip; ip != "" {
		one := v.Of(ip)
		h["X-Real-Ip"], h["X-Vercel-Forwarded-For"], h["X-Vercel-Proxied-For"] = one, one, one
	}
	h["X-Vercel-Deployment-Url"] = v.Of(x.site.Host)
	h["X-Matched-Path"] = v.Of(d.MatchedPath)
	if _, kept := x.site.Manifest.Prerenders[d.Output]; kept {
		h["X-Vercel-Isr"] = v.Of("1")
	}
}

// platformField returns the value of a field that only the platform sets, for the
// conditions of routes; "" for a field that clients may send.
func (x *exchange) platformField(key string) string {
	if !header.PlatformOnly(key) {
		return ""
	}
	h := make(http.Header, 12)
	x.functionHeader(h, &route.Decision{})
	return h.Get(key)
}

// forwardedHeader sets on h the fields about the client and its request that functions
// and origins get. It returns memory for further values.
func (x *exchange) forwardedHeader(h http.Header) header.Values {
	v := make(header.Values, 0, 12)
	c := &x.client
	if c.ip != "" {
		h["X-Forwarded-For"] = v.Of(c.ip)
	}
	h["X-Forwarded-Host"] = v.Of(c.host)
	h["X-Forwarded-Proto"] = v.Of(c.proto)
	h["X-Forwarded-Port"] = v.Of(c.port())
	h["Forwarded"] = v.Of(address.Forwarding(c.ip, c.host, c.proto))
	h["X-Vercel-Id"] = v.Of(x.edge.o.Region + "::" + x.edge.o.Region + "::" + string(x.id))
	h["Traceparent"] = v.Of(traceparent(&x.record))
	return v
}
