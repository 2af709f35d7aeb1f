package route_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
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

// FuzzConfined captures values of every kind into paths below /public of this site
// and of another host, and checks that the resulting paths are below /public.
func FuzzConfined(f *testing.F) {
	capture := func(kind string) []lateen.HasField {
		return []lateen.HasField{{Type: kind, Key: "f", Value: &lateen.Condition{Re: "(?<f>[\\s\\S]*)"}}}
	}
	m := &lateen.Manifest{
		Files: map[string]lateen.File{"/x": {}, "/private/x": {}, "/public/x": {}, "/public/a/x": {}, "/public/.x": {}}, Functions: map[string]lateen.Function{"/fn": {}}, Outputs: map[string]string{"/fn": "/fn"},
		Prerenders: map[string]lateen.Prerender{},
	}
	for _, kind := range []string{"query", "cookie", "header"} {
		for name, dest := range map[string]string{"in": "/public/$f", "in2": "/public/$1/$f", "in3": "/public/.$f", "out": "https://origin.example/public/$f", "out2": "https://origin.example/public/$1.$f", "host": "https://$f.origin.example/public/", "bare": "https://origin.example$f"} {
			m.Routes = append(m.Routes, lateen.Route{Src: "^/" + kind + "/" + name + "/(.*)$", Has: capture(kind), Dest: dest})
		}
		m.Routes = append(m.Routes, lateen.Route{Src: "^/" + kind + "/path/(.*)$", Has: capture(kind), Dest: "/fn", Transforms: []lateen.Transform{
			{Type: "request.path", Op: "set", Target: lateen.TransformTarget{Key: lateen.TransformKey{Name: "path"}}, Args: "/public/$1$f"},
		}})
	}
	for name, dest := range map[string]string{"in": "/public/$1", "in2": "/public$1/x", "out": "https://origin.example/public/$1", "bare": "https://origin.example$1"} {
		m.Routes = append(m.Routes, lateen.Route{Src: "^/" + name + "(.*)$", Dest: dest})
	}
	router, err := route.Compile(m)
	if err != nil {
		f.Fatal(err)
	}
	direct, err := route.Compile(&lateen.Manifest{Files: m.Files, Functions: m.Functions, Outputs: m.Outputs}) // without routes
	if err != nil {
		f.Fatal(err)
	}
	for _, value := range []string{"x", "a/x", "../private/x", "..", ".", "..%2fprivate", "%2e%2e/x", "%252e%252e/x", `..\private`, "100%", "evil.example/", "@evil.example/", ":80@evil.example", "/../x", "a?b#c", "\x00", "\xff", "//evil.example", "%2E./x", ".\t./x", "..;/x", "|/../../private/x", "|%2f..%2f..%2fprivate"} {
		for _, path := range []string{"/query/in/", "/cookie/in2/a", "/header/out/b", "/query/out2/.", "/query/host/", "/query/bare/", "/header/path/", "/in/", "/in2", "/out/", "/bare"} {
			f.Add(path, value)
		}
	}
	f.Fuzz(func(t *testing.T, start, value string) {
		if len(start)+len(value) > 1<<10 {
			return
		}
		req := newRequest("POST", start+value)
		req.RawQuery = "f=" + url.QueryEscape(value)
		req.Header = http.Header{"F": {value}, "Cookie": {"f=" + url.PathEscape(value)}}
		d, err := router.Resolve(t.Context(), req, nil)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case d.Kind == route.Static && strings.HasPrefix(d.Output, "/public/"), d.Kind == route.Error:
		case d.Kind == route.Function && (!strings.HasPrefix(d.Path, "/public") || below("/public/", d.Path)): // else the client's own path
		case d.Kind == route.External:
			u, err := url.Parse(d.Target)
			if err != nil || u.User != nil || u.Host != "origin.example" && !strings.HasSuffix(u.Host, ".origin.example") {
				t.Errorf("%q and %q lead to %q: %v", start, value, d.Target, err)
			} else if !strings.Contains(strings.ToLower(start), "bare") && !below("/public/", u.EscapedPath()) {
				t.Errorf("%q and %q lead out of /public: %q", start, value, d.Target)
			}
		case d.Kind == route.Static: // the client's own path
			if own, err := direct.Resolve(t.Context(), req, nil); err != nil || own.Output != d.Output {
				t.Errorf("%q and %q lead to %s %s", start, value, d.Kind, d.Output)
			}
		default:
			t.Errorf("%q and %q lead to %s %s %s", start, value, d.Kind, d.Output, d.Path)
		}
	})
}

// below reports whether an encoded path stays below dir for a reader that decodes
// the whole path, including encoded slashes and backslashes, before it resolves dot
// segments.
func below(dir, encoded string) bool {
	plain, err := url.PathUnescape(encoded)
	return err == nil && strings.HasPrefix(path.Clean(strings.ReplaceAll(plain, `\`, "/"))+"/", dir)
}
