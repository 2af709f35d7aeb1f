package route_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		table, _ := load(f, file)
		_, config, _ := strings.Cut(table, configMark)
		config, _, _ = strings.Cut(config, outputsMark)
		var c struct {
			Routes json.RawMessage `json:"routes"`
		}
		if err := json.Unmarshal([]byte(config), &c); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(c.Routes), "/posts/one?a=b")
	}
	f.Fuzz(func(t *testing.T, text []byte, url string) {
		var routes []lateen.Route
		if json.Unmarshal(text, &routes) != nil || len(text) > 1<<14 || len(url) > 1<<10 {
			return
		}
		m := &lateen.Manifest{
			Routes:    routes,
			Files:     map[string]lateen.File{"/404": {}, "/index.html": {}, "/a b": {}},
			Functions: map[string]lateen.Function{"/fn": {}},
			Outputs:   map[string]string{"/fn": "/fn", "/middleware": "/fn"},
		}
		router, err := route.Compile(m)
		if err != nil {
			if !errors.Is(err, lateen.ErrInvalidRoute) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		d, err := router.Resolve(t.Context(), newRequest("GET", "/"+url), next)
		if err != nil {
			t.Fatal(err)
		}
		check(t, m, d)
	})
}

func FuzzResolve(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	type site struct {
		router   *route.Router
		manifest *lateen.Manifest
	}
	var sites []site
	for _, file := range files {
		table, stories := load(f, file)
		router, m := compile(f, table)
		for line := range strings.Lines(stories) {
			if method, url, ok := strings.Cut(strings.TrimSpace(line), " "); ok && (method == "GET" || method == "POST") {
				f.Add(uint(len(sites)), method, url, "rsc", "1", "x-middleware-next", "1")
			}
		}
		sites = append(sites, site{router, m})
	}
	f.Fuzz(func(t *testing.T, index uint, method, url, key, value, answerKey, answerValue string) {
		if len(url) > 1<<10 {
			return
		}
		s := sites[index%uint(len(sites))]
		req := newRequest(method, url)
		req.Header.Add(key, value)
		ran := 0
		run := func(context.Context, string, *route.Request) (*route.MiddlewareResponse, error) {
			ran++
			h := http.Header{}
			h.Add(answerKey, answerValue)
			return &route.MiddlewareResponse{Status: 200, Header: h}, nil
		}
		d, err := s.router.Resolve(t.Context(), req, run)
		if err != nil {
			t.Fatal(err)
		}
		check(t, s.manifest, d)
		if ran > 2 {
			t.Errorf("middleware ran %d times", ran)
		}
		if strings.HasPrefix(d.Location, "//") {
			t.Errorf("redirect to another host: %s", d.Location)
		}
		for name, values := range d.Header {
			if name != http.CanonicalHeaderKey(answerKey) && strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
				t.Errorf("header %s is %q", name, values)
			}
		}
		if e, ok := s.router.ResolveError(t.Context(), req, 500); ok {
			check(t, s.manifest, e)
		}
	})
}
