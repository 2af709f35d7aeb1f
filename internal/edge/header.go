package edge

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

// platformHeader adds the platform's fields to the header of a response.
func (x *exchange) platformHeader(h http.Header) {
	v := make(header.Values, 0, 4)
	h["Server"] = serverName
	h["X-Vercel-Id"] = v.Of(x.edge.o.Region + "::" + string(x.ID))
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
	if x.Client.Proto == "https" && h["Strict-Transport-Security"] == nil {
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
	if inv == nil || inv.Start == "" || !x.Site.ShowsStart {
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
	return x.Site != nil && (x.Client.Hostname == x.Site.Host ||
		x.Site.Target != "production" && strings.HasSuffix(x.Client.Hostname, "."+x.edge.o.Domain))
}
