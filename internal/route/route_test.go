package route_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

func TestMergePutsTheOutputsOwnHeadersBetween(t *testing.T) {
	d := &route.Decision{
		Header:    http.Header{"Cache-Control": {"route"}, "X-Route": {"1"}, "Set-Cookie": {"a=1"}},
		Important: http.Header{"X-Matched-Path": {"/a"}, "Etag": {"important"}, "Set-Cookie": {"c=3"}},
	}
	h := http.Header{"Cache-Control": {"own"}, "Etag": {"own"}, "Set-Cookie": {"b=2"}}
	d.Merge(h)
	want := http.Header{
		"Cache-Control": {"own"}, "X-Route": {"1"}, "X-Matched-Path": {"/a"}, "Etag": {"important"},
		"Set-Cookie": {"b=2", "a=1", "c=3"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
}

func TestMergeLeavesTheTableAsItIs(t *testing.T) {
	m := &lateen.Manifest{
		Files:  map[string]lateen.File{"/a": {}},
		Routes: []lateen.Route{{Src: "/a", Headers: map[string]string{"set-cookie": "a=1", "x": "1"}, Continue: true}},
	}
	r, err := route.Compile(m)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d, err := r.Resolve(t.Context(), newRequest("GET", "/a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		d.Merge(h)
		if diff := cmp.Diff(http.Header{"Set-Cookie": {"a=1"}, "X": {"1"}}, h); diff != "" {
			t.Error(diff)
		}
		h.Add("Set-Cookie", "b=2")
		h.Add("X", "2")
	}
}

func withMiddleware(t *testing.T) *route.Router {
	t.Helper()
	r, err := route.Compile(&lateen.Manifest{
		Functions: map[string]lateen.Function{"/mw": {}},
		Outputs:   map[string]string{"/mw": "/mw"},
		Routes:    []lateen.Route{{Src: "/.*", MiddlewarePath: "mw", Continue: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestResolveFailsOnlyWithAnEndedContext(t *testing.T) {
	r := withMiddleware(t)
	ctx, cancel := context.WithCancel(t.Context())
	late := &body{Reader: strings.NewReader("text")}
	gone := func(context.Context, string, *route.Request) (*route.MiddlewareResponse, error) {
		cancel()
		return &route.MiddlewareResponse{Status: 200, Body: late}, nil
	}
	if d, err := r.Resolve(ctx, newRequest("GET", "/"), gone); !errors.Is(err, context.Canceled) || d != nil {
		t.Errorf("during middleware: %v, %v", d, err)
	}
	if !late.closed {
		t.Error("the body of a late response is open")
	}
	if d, err := r.Resolve(ctx, newRequest("GET", "/"), gone); !errors.Is(err, context.Canceled) || d != nil {
		t.Errorf("before: %v, %v", d, err)
	}
}

// body records whether it was closed.
type body struct {
	io.Reader

	closed bool
}

func (b *body) Close() error {
	b.closed = true
	return nil
}

func TestMiddlewareBodyIsClosedUnlessItIsTheAnswer(t *testing.T) {
	for key, closed := range map[string]bool{"X-Middleware-Next": true, "X-Middleware-Rewrite": true, "X-Own": false} {
		b := &body{Reader: strings.NewReader("text")}
		run := func(context.Context, string, *route.Request) (*route.MiddlewareResponse, error) {
			return &route.MiddlewareResponse{Status: 200, Header: http.Header{key: {"1"}}, Body: b}, nil
		}
		d, err := withMiddleware(t).Resolve(t.Context(), newRequest("GET", "/"), run)
		if err != nil {
			t.Fatal(err)
		}
		if b.closed != closed {
			t.Errorf("%s: closed %t", key, b.closed)
		}
		if d.Answer != nil && d.Answer.Body != b {
			t.Errorf("%s: the Answer has another body", key)
		}
	}
}

func TestTheDecisionHasTheCauseOfAFailedMiddleware(t *testing.T) {
	crash := errors.New("crash")
	run := func(context.Context, string, *route.Request) (*route.MiddlewareResponse, error) { return nil, crash }
	d, err := withMiddleware(t).Resolve(t.Context(), newRequest("GET", "/"), run)
	if err != nil || d.Kind != route.Error || d.Status != 500 || !errors.Is(d.Cause, crash) {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = withMiddleware(t).Resolve(t.Context(), newRequest("GET", "/"), nil)
	if err != nil || d.Kind != route.Error || d.Reason != route.ReasonMiddlewareFailed {
		t.Errorf("without RunMiddleware: %+v, %v", d, err)
	}
}

func TestPatternsShareATimeLimit(t *testing.T) {
	var routes []lateen.Route
	for range 100 {
		routes = append(routes, lateen.Route{Src: `^/(?=a)(a+)+(?!b)c$`, Dest: "/x"})
	}
	routes = append(routes, lateen.Route{Handle: "error"}, lateen.Route{Src: `^/.*(a+)+(?!b)c$`, Dest: "/x"})
	r, err := route.Compile(&lateen.Manifest{Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Resolve(t.Context(), newRequest("GET", "/"+strings.Repeat("a", 60)+"!c"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Kind != route.Error || d.Status != 500 || d.Reason != route.ReasonRouteTimeout || d.Cause == nil {
		t.Errorf("%+v", d)
	}
}

func TestConditionsHoldIfAnyDoes(t *testing.T) {
	c, err := route.CompileConditions([]lateen.HasField{
		{Type: "header", Key: "next-action"},
		{Type: "header", Key: "content-type", Value: &lateen.Condition{Re: "multipart/form-data;.*"}},
		{Type: "cookie", Key: "a", Value: &lateen.Condition{Re: "(?<first>.)(?<second>.)"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key, value string
		want       bool
	}{
		{"Next-Action", "", true},
		{"Content-Type", "multipart/form-data; boundary=x", true},
		{"Content-Type", "text/multipart/form-data; boundary=x", false},
		{"Cookie", "b=1; a=12", true},
		{"Cookie", "a=1", false},
		{"X", "1", false},
	} {
		req := newRequest("POST", "/")
		req.Header.Set(tt.key, tt.value)
		if got := c.Any(req); got != tt.want {
			t.Errorf("%s: %s: %t", tt.key, tt.value, got)
		}
	}
	var none *route.Conditions
	if none.Any(newRequest("GET", "/")) {
		t.Error("no conditions hold")
	}
	if _, err := route.CompileConditions([]lateen.HasField{{Type: "header"}}); !errors.Is(err, lateen.ErrInvalidRoute) {
		t.Errorf("a malformed condition is %v", err)
	}
}
