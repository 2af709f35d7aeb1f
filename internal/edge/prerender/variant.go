package prerender

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
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/site"
	"github.com/lateen-dev/lateen/internal/route"
)

// variant holds the parts of a request that select one of the cached pages of a
// prerendered output. The function gets no other part of the request.
type variant struct {
	origin  string      // scheme and host of the site in canonical spelling: a page may contain them
	path    string      // path of the function's URL, percent-encoded
	query   string      // parameters of the function's URL, sorted by name
	matches string      // parameters for x-now-route-matches, in place of query
	header  http.Header // request fields on which the page may depend
	// several is set if the output has several pages, of which this is one.
	several bool
}

// notInKey are the headers that a page's function may get and that do not select a
// page: a request for a refresh is one for the same page.
var notInKey = map[string]bool{
	"X-Matched-Path": true, headerRevalidate: true, headerIfGenerated: true, headerRevalidatedTags: true, headerTagToken: true,
}

// personal are the headers on which no cached page may depend: those of credentials,
// ranges, conditions and the body.
var personal = map[string]bool{
	"Cookie": true, "Authorization": true, "Range": true, "If-Range": true, "If-Match": true, "If-None-Match": true,
	"If-Modified-Since": true, "If-Unmodified-Since": true, "Content-Length": true, "Expect": true,
}

// variantOf returns the variant of the page of p that k requests.
func variantOf(k *call.Call, d *route.Decision, p *lateen.Prerender) variant {
	v := variant{origin: k.Client.Proto + "://" + k.Client.Hostname, path: d.Path}
	params := allowedParams(d.Query, p.AllowQuery)
	if p.PassQuery {
		v.query = params
	} else if v.matches = params; p.AllowQuery == nil && d.RouteMatches != "" {
		v.matches = joinQuery(d.RouteMatches, without(params, d.RouteMatches))
	}
	v.several = v.query != "" || v.matches != ""
	for _, name := range p.AllowHeader {
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch values := d.RequestHeader[name]; {
		case personal[name], notInKey[name], header.PlatformOnly(name), header.HopByHop(name), values == nil:
		default:
			if v.header == nil {
				v.header = http.Header{}
			}
			v.header[name] = values
		}
	}
	return v
}

// allowedParams returns the parameters of a raw query whose names are in allowed,
// sorted by name; nil allows all. Their spelling is unchanged, except that bytes that
// a header cannot carry are percent-encoded.
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

// without returns the parameters of a raw query whose names are not in other. The
// dest of a rewrite may repeat the parameters that its src captured, and the function
// expects each once.
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

// paramName returns the decoded name of a parameter of a raw query.
func paramName(text string) string {
	name, _, _ := strings.Cut(text, "=")
	if plain, err := url.QueryUnescape(name); err == nil {
		return plain
	}
	return name
}

// escapeInto writes s and percent-encodes the bytes that are not printable ASCII.
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

// key returns the cache key of the page of a site.
func (v *variant) key(s *site.Site, output string) cache.Key {
	key := cache.NewKey(string(s.Deployment), append([]string{output, v.origin, v.path}, v.parts()...)...)
	key.Tenant = string(s.Project)
	return key
}

// group names the pages that are refreshed together with this one: the same page on
// every host, and the other outputs of its group with the same parameters.
func (v *variant) group(number int, output string) string {
	of := "output " + output
	if number > 0 {
		of = "group " + strconv.Itoa(number)
	}
	if v.query == "" && v.matches == "" && v.header == nil {
		return of
	}
	return of + " " + cache.NewKey("", v.parts()...).String()
}

// parts lists the fields of v except origin and path.
func (v *variant) parts() []string {
	parts := make([]string, 0, 2+2*len(v.header))
	parts = append(parts, v.query, v.matches)
	names := make([]string, 0, len(v.header))
	for name := range v.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, name, strings.Join(v.header[name], "\x00"))
	}
	return parts
}
