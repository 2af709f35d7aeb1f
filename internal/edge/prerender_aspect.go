package edge

import (
	"cmp"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/route"
)

// aspect is all that may tell one response of a prerendered output from
// another. Its function gets this and nothing else of the request.
type aspect struct {
	origin  string      // the site as clients call it, however this one spells it: a page may name it
	path    string      // of the function's URL, percent-encoded
	query   string      // parameters for the function's URL, sorted by name
	matches string      // parameters for x-now-route-matches, instead
	header  http.Header // what of the request's header the page may depend on
	// several is set if the output has more than one page, and this is one of them.
	several bool
}

// notInKey are the headers that a page may get and that do not tell pages
// apart: who asks for a page to be made anew asks for the same page.
var notInKey = map[string]bool{
	"X-Matched-Path": true, headerRevalidate: true, headerIfGenerated: true, headerRevalidatedTags: true, headerTagToken: true,
}

// personal are the headers that no kept page may depend on: who asks, and for
// which part of it.
var personal = map[string]bool{
	"Cookie": true, "Authorization": true, "Range": true, "If-Range": true, "If-Match": true, "If-None-Match": true,
	"If-Modified-Since": true, "If-Unmodified-Since": true, "Content-Length": true, "Expect": true,
}

// aspectOf returns what the page of p that x asks for depends on.
func aspectOf(x *exchange, d *route.Decision, p *lateen.Prerender) aspect {
	a := aspect{origin: x.client.proto + "://" + x.client.hostname, path: d.Path}
	params := allowedParams(d.Query, p.AllowQuery)
	if p.PassQuery {
		a.query = params
	} else if a.matches = params; p.AllowQuery == nil && d.RouteMatches != "" {
		a.matches = joinQuery(d.RouteMatches, without(params, d.RouteMatches))
	}
	a.several = a.query != "" || a.matches != ""
	for _, name := range p.AllowHeader {
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch values := d.RequestHeader[name]; {
		case personal[name], notInKey[name], platformOnly(name), slices.Contains(hopByHop, name), values == nil:
		default:
			if a.header == nil {
				a.header = http.Header{}
			}
			a.header[name] = values
		}
	}
	return a
}

// allowedParams returns the parameters of a raw query whose names are in
// allowed, sorted by name; nil allows all. Their spelling stays, but for what a
// header could not carry.
func allowedParams(query string, allowed []string) string {
	if query == "" || allowed != nil && len(allowed) == 0 {
		return ""
	}
	type param struct{ name, text string }
	var params []param
	for text := range strings.SplitSeq(query, "&") {
		name := paramName(text)
		if text != "" && (allowed == nil || slices.Contains(allowed, name)) {
			params = append(params, param{name, text})
		}
	}
	slices.SortStableFunc(params, func(a, b param) int { return cmp.Compare(a.name, b.name) })
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		escapeInto(&b, p.text)
	}
	return b.String()
}

// without returns the parameters of a raw query whose names are not in other: a
// rewrite's dest may name what its src captured once more, and whoever reads
// both wants it once.
func without(query, other string) string {
	named := map[string]bool{}
	for text := range strings.SplitSeq(other, "&") {
		named[paramName(text)] = true
	}
	var kept []string
	for text := range strings.SplitSeq(query, "&") {
		if !named[paramName(text)] {
			kept = append(kept, text)
		}
	}
	return strings.Join(kept, "&")
}

// paramName is the name of a parameter of a raw query.
func paramName(text string) string {
	name, _, _ := strings.Cut(text, "=")
	if plain, err := url.QueryUnescape(name); err == nil {
		return plain
	}
	return name
}

// escapeInto writes s with the bytes percent-encoded that are not printable ASCII.
func escapeInto(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
}

func joinQuery(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "&" + b
}

// key is the key of the page of a site in the cache.
func (a *aspect) key(s *site, output string) cache.Key {
	key := cache.NewKey(string(s.Deployment), append([]string{output, a.origin, a.path}, a.parts()...)...)
	key.Tenant = string(s.Project)
	return key
}

// group names the pages that are made anew together with this one: it itself on
// every host, and the other members of its group with the same parameters.
func (a *aspect) group(number int, output string) string {
	of := "output " + output
	if number > 0 {
		of = "group " + strconv.Itoa(number)
	}
	if a.query == "" && a.matches == "" && a.header == nil {
		return of
	}
	return of + " " + cache.NewKey("", a.parts()...).String()
}

// parts lists what a says, but for where the page is.
func (a *aspect) parts() []string {
	parts := make([]string, 0, 2+2*len(a.header))
	parts = append(parts, a.query, a.matches)
	names := make([]string, 0, len(a.header))
	for name := range a.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, name, strings.Join(a.header[name], "\x00"))
	}
	return parts
}
