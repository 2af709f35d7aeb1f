package route_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

// mostText is the limit of the text that routes write for one request, by the
// contract of ReasonRouteTooLong.
const mostText = 1 << 20

func setsHeader(what, op, key string, args any) lateen.Transform {
	return lateen.Transform{Type: what, Op: op, Target: lateen.TransformTarget{Key: lateen.TransformKey{Name: key}}, Args: args}
}

func forEach(what, op string, args any) lateen.Transform {
	return lateen.Transform{Type: what, Op: op, Target: lateen.TransformTarget{Key: lateen.TransformKey{Match: &lateen.Condition{Pre: "p"}}}, Args: args}
}

// The tables would write more text for a request of a few KB than fits into memory.
func TestRoutesThatWriteTooMuchForARequestFail(t *testing.T) {
	eight := strings.Repeat("$1", 8)
	var params, fields []string
	for i := range 2000 {
		params, fields = append(params, fmt.Sprintf("p%d", i)), append(fields, fmt.Sprintf("X-%d", i))
	}
	headers := map[string]string{}
	for _, name := range fields[:100] {
		headers[name] = strings.Repeat("$1", 16)
	}
	constant := map[string]string{}
	for _, name := range fields[:100] {
		constant[name] = strings.Repeat("c", 16<<10)
	}
	many := strings.Repeat("x", 4000)
	for _, tt := range []struct {
		name   string
		routes []lateen.Route
		query  string
	}{
		{"rewrites", slices.Repeat([]lateen.Route{{Src: "/(.*)", Dest: "/" + eight, Check: true}}, 6), ""},
		{"rewrites that go on", slices.Repeat([]lateen.Route{{Src: "/(.*)", Dest: "/" + eight, Continue: true}}, 6), ""},
		{"queries of rewrites", slices.Repeat([]lateen.Route{{Src: "/(.*)", Dest: "/$1?a=" + strings.Repeat("$1", 1000), Continue: true}}, 2), ""},
		{"header fields", []lateen.Route{{Src: "/(.*)", Headers: headers, Continue: true}}, ""},
		{"constant header fields", []lateen.Route{{Src: "/(.*)", Headers: constant, Continue: true}}, ""},
		{"a redirection", []lateen.Route{{Src: "/(.*)", Status: 308, Headers: map[string]string{"Location": "/" + strings.Repeat("$1", 2000)}}}, ""},
		{"a request header", []lateen.Route{{Src: "/(.*)", Transforms: []lateen.Transform{setsHeader("request.headers", "set", "x", strings.Repeat("$1", 2000))}}}, ""},
		{"arguments for every parameter", []lateen.Route{{Src: "/(.*)", Transforms: []lateen.Transform{forEach("request.query", "append", []string{many})}}}, strings.Join(params, "&")},
		{"an external origin", []lateen.Route{{Src: "/(.*)", Dest: "https://origin.example/" + strings.Repeat("$1", 2000)}}, ""},
		{"captures of a prerender", []lateen.Route{{Src: "/" + strings.Repeat("(", 1000) + ".*" + strings.Repeat(")", 1000), Dest: "/page", Check: true}}, ""},
		{"an error page", []lateen.Route{{Handle: "error"}, {Src: "/(.*)", Status: 404, Dest: "/" + strings.Repeat("$1", 2000)}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := route.Compile(&lateen.Manifest{
				Routes: tt.routes, Functions: map[string]lateen.Function{"/page": {}}, Outputs: map[string]string{"/page": "/page"},
				Prerenders: map[string]lateen.Prerender{"/page": {}},
			})
			if err != nil {
				t.Fatal(err)
			}
			d, err := r.Resolve(t.Context(), newRequest("GET", "/"+strings.Repeat("g", 800)+"?"+tt.query), nil)
			if err != nil {
				t.Fatal(err)
			}
			if d.Kind != route.Error || d.Status != 500 || d.Reason != route.ReasonRouteTooLong || d.Cause == nil {
				t.Errorf("decided for %s, status %d, reason %q, cause %v; want an error, 500, %q", d.Kind, d.Status, d.Reason, d.Cause, route.ReasonRouteTooLong)
			}
			if len(d.Path)+len(d.Query)+len(d.Target)+len(d.Location)+len(d.RouteMatches) > 4*mostText || len(d.Header) > 0 {
				t.Errorf("the decision has a path of %d bytes, a query of %d, a target of %d, a location of %d and %d header fields", len(d.Path), len(d.Query), len(d.Target), len(d.Location), len(d.Header))
			}
		})
	}
}

func TestTransformsOfAResponseWriteABoundedNumberOfBytes(t *testing.T) {
	r, err := route.Compile(&lateen.Manifest{
		Files:  map[string]lateen.File{"/page": {}},
		Routes: []lateen.Route{{Src: "/.*", Continue: true, Transforms: slices.Repeat([]lateen.Transform{forEach("response.headers", "append", []string{strings.Repeat("x", 4000)})}, 4)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Resolve(t.Context(), newRequest("GET", "/page"), nil)
	if err != nil || d.Kind != route.Static {
		t.Fatalf("%+v, %v", d, err)
	}
	for range 2 { // an error page merges the same decision again
		h, total := http.Header{}, 0
		for i := range 2000 {
			h.Set(fmt.Sprintf("P-%d", i), "v")
		}
		d.Merge(h)
		for _, values := range h {
			for _, value := range values {
				total += len(value)
			}
		}
		if total < mostText/2 || total > 2*mostText {
			t.Errorf("the response has %d bytes of header, want about %d", total, mostText)
		}
	}
}

// The text that routes of real tables write for the largest request, 64 KiB, must be
// within the limit.
func TestALongPathIsRewrittenAndCopiedAFewTimes(t *testing.T) {
	r, err := route.Compile(&lateen.Manifest{
		Functions: map[string]lateen.Function{"/fn": {}}, Outputs: map[string]string{"/fn": "/fn"},
		Routes: []lateen.Route{
			{Src: "/(.*)", Headers: map[string]string{"x-path": "$1"}, Continue: true},
			{Src: "/(.*)", Dest: "/en/$1", Continue: true},
			{Src: "/en/(.*)", Dest: "/fn?path=$1", Check: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Resolve(t.Context(), newRequest("GET", "/"+strings.Repeat("é", 20<<10)), nil)
	if err != nil || d.Kind != route.Function {
		t.Fatalf("decided for %v, %v; want the function", d.Kind, err)
	}
}
