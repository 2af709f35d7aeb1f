package route_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

// bounded fails the test unless r rejects req with ReasonRouteTimeout.
func bounded(t *testing.T, m *lateen.Manifest, req *route.Request) {
	t.Helper()
	r, err := route.Compile(m)
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Resolve(t.Context(), req, nil)
	if err != nil || d.Reason != route.ReasonRouteTimeout {
		t.Errorf("the reason is %q (%v), want %q", d.Reason, err, route.ReasonRouteTimeout)
	}
}

func TestManyCheapPatternsTogetherAreBounded(t *testing.T) {
	m := &lateen.Manifest{}
	for i := range 3000 {
		m.Routes = append(m.Routes, lateen.Route{Src: fmt.Sprintf(`^/(?:[a-c]|[b-d])*(?:[ab]|[bc]){40}[d-f]{%d}$`, 1+i%7), Dest: "/x"})
	}
	bounded(t, m, newRequest("GET", "/"+strings.Repeat("abcb", 300)))
}

func TestManyConditionsTogetherAreBounded(t *testing.T) {
	for kind, req := range map[string]*route.Request{
		"query":  newRequest("GET", "/?"+strings.Repeat("a&", 30_000)),
		"cookie": newRequest("GET", "/"),
		"header": newRequest("GET", "/"),
	} {
		t.Run(kind, func(t *testing.T) {
			req.Header["Cookie"], req.Header["X"] = []string{strings.Repeat("a=;", 20_000)}, make([]string, 30_000)
			m := &lateen.Manifest{}
			for range 1500 {
				m.Routes = append(m.Routes, lateen.Route{Src: `^/$`, Dest: "/x", Has: []lateen.HasField{{Type: kind, Key: "x", Value: &lateen.Condition{Eq: new("q")}}}})
			}
			bounded(t, m, req)
		})
	}
}

func TestManySearchesForTextTogetherAreBounded(t *testing.T) {
	m := &lateen.Manifest{}
	for range 1500 {
		m.Routes = append(m.Routes, lateen.Route{Src: `^/(.*)\.1\.(.*)$`, Dest: "/x"})
	}
	bounded(t, m, newRequest("GET", "/"+strings.Repeat(".2", 20_000)))
}

func TestConditionsEndWithTheFirstThatTakesTooLong(t *testing.T) {
	fields := slices.Repeat([]lateen.HasField{{Type: "query", Key: "x"}}, 1500)
	c, err := route.CompileConditions(append(fields, lateen.HasField{Type: "header", Key: "X-Last"}))
	if err != nil {
		t.Fatal(err)
	}
	req := newRequest("GET", "/?"+strings.Repeat("a&", 30_000))
	req.Header.Set("X-Last", "1")
	if c.Any(req) {
		t.Error("the last condition was evaluated")
	}
}
