package route_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

var update = flag.Bool("update", false, "rewrite the decisions in testdata")

// The separators between the parts of a file in testdata, which is a txtar archive.
const (
	configMark  = "-- config.json --\n"
	outputsMark = "-- outputs --\n"
	storiesMark = "-- stories --\n"
)

// TestStories resolves the requests of every file in testdata. Each has a
// config.json, a list of outputs, and stories: a request line with headers, the
// response of a middleware ("< …"), and the decision ("> …").
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			table, stories := load(t, file)
			router, m := compile(t, table)
			got := tell(t, router, m, stories)
			if *update {
				if err := os.WriteFile(file, []byte(table+storiesMark+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(stories, got); diff != "" {
				t.Errorf("decisions differ (-want +got):\n%s", diff)
			}
		})
	}
}

// tell resolves each request of a stories section and returns the section with the
// new decisions.
func tell(t *testing.T, r *route.Router, m *lateen.Manifest, stories string) string {
	t.Helper()
	var out strings.Builder
	var req *route.Request
	var answers []string
	flush := func() {
		if req != nil {
			out.WriteString(decide(t, r, m, req, answers))
		}
		req, answers = nil, nil
	}
	for line := range strings.Lines(stories) {
		line = strings.TrimSuffix(line, "\n")
		method, rest, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, ">"):
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			flush()
		case strings.HasPrefix(line, "< "):
			answers = append(answers, line[2:])
		case req == nil && method == strings.ToUpper(method):
			req = newRequest(method, rest)
		case req != nil && strings.Contains(line, ": "):
			key, value, _ := strings.Cut(line, ": ")
			switch key {
			case "host":
				req.Host = value
			case "env":
				name, text, _ := strings.Cut(value, "=")
				req.Env[name] = text
			default:
				req.Header.Add(key, value)
			}
		default:
			t.Fatalf("unknown line %q", line)
		}
		out.WriteString(line + "\n")
	}
	flush()
	return out.String()
}

func newRequest(method, url string) *route.Request {
	path, query, _ := strings.Cut(url, "?")
	return &route.Request{
		Method: method, Scheme: "https", Host: "site.example", Path: path, RawQuery: query,
		Header: http.Header{}, Env: map[string]string{},
	}
}

// decide resolves req and writes the decision as lines. A request with method ERROR
// requests the error page of the status in its path.
func decide(t *testing.T, r *route.Router, m *lateen.Manifest, req *route.Request, answers []string) string {
	t.Helper()
	var b strings.Builder
	if req.Method == "ERROR" {
		status, path, _ := strings.Cut(req.Path, " ")
		req.Path = path
		code, _ := strconv.Atoi(status)
		d, ok := r.ResolveError(t.Context(), req, code)
		if !ok {
			fmt.Fprintf(&b, "> none\n")
		}
		describe(&b, d, req)
		return b.String()
	}
	middleware := func(_ context.Context, output string, seen *route.Request) (*route.MiddlewareResponse, error) {
		fmt.Fprintf(&b, "> ran %s %s %s\n", output, seen.Method, joinURL(seen.Path, seen.RawQuery))
		return scripted(answers)
	}
	before := req.Header.Clone()
	d, err := r.Resolve(t.Context(), req, middleware)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, req.Header); diff != "" {
		t.Errorf("Resolve changed the request's header: %s", diff)
	}
	check(t, m, d)
	describe(&b, d, req)
	return b.String()
}

// scripted is the middleware's response that lines describe: status, headers, and a
// body after an empty key.
func scripted(lines []string) (*route.MiddlewareResponse, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	resp := &route.MiddlewareResponse{Status: 200, Header: http.Header{}}
	for _, line := range lines {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "error":
			return nil, fmt.Errorf("%s", value)
		case "reason":
			return nil, &lateen.Error{Code: lateen.Faulted, Reason: value}
		case "status":
			resp.Status, _ = strconv.Atoi(value)
		case "body":
			resp.Body = io.NopCloser(strings.NewReader(value))
		default:
			resp.Header.Add(key, value)
		}
	}
	return resp, nil
}

func describe(b *strings.Builder, d *route.Decision, req *route.Request) {
	say := func(format string, args ...any) { fmt.Fprintf(b, "> "+format+"\n", args...) }
	say("%s", strings.TrimSpace(d.Kind.String()+" "+d.Output))
	switch d.Kind {
	case route.Function, route.Prerender:
		say("url %s", joinURL(d.Path, d.Query))
	case route.External:
		say("target %s", d.Target)
	case route.Redirect:
		say("location %s", d.Location)
	case route.Error, route.Static, route.Answer:
	}
	if d.MatchedPath != d.Output {
		say("matched %s", d.MatchedPath)
	}
	if d.Status != 0 {
		say("status %d %s", d.Status, d.Reason)
	}
	if d.RouteMatches != "" {
		say("matches %s", d.RouteMatches)
	}
	if d.IgnoreOriginCacheControl {
		say("origin cache-control ignored")
	}
	sayHeader(say, "header", d.Header)
	sayHeader(say, "important", d.Important)
	merged := http.Header{}
	d.Merge(merged)
	for _, key := range slices.Sorted(maps.Keys(merged)) {
		if !slices.Equal(merged[key], d.Header[key]) && !slices.Equal(merged[key], d.Important[key]) {
			say("response %s: %s", key, strings.Join(merged[key], " | "))
		}
	}
	if d.Answer != nil {
		sayHeader(say, "answer", d.Answer.Header)
		if d.Answer.Body != nil {
			body, _ := io.ReadAll(d.Answer.Body)
			say("body %s", body)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(req.Header)) {
		if _, kept := d.RequestHeader[key]; !kept {
			say("request without %s", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(d.RequestHeader)) {
		if !slices.Equal(req.Header[key], d.RequestHeader[key]) {
			say("request %s: %s", key, strings.Join(d.RequestHeader[key], " | "))
		}
	}
}

func sayHeader(say func(string, ...any), what string, h http.Header) {
	for _, key := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[key] {
			say("%s %s: %s", what, key, value)
		}
	}
}

// check checks the properties of every decision.
func check(t *testing.T, m *lateen.Manifest, d *route.Decision) {
	t.Helper()
	known := false
	switch d.Kind {
	case route.Static:
		_, known = m.Files[d.Output]
	case route.Function:
		_, known = m.Outputs[d.Output]
	case route.Prerender:
		_, known = m.Prerenders[d.Output]
	case route.Redirect:
		known = d.Location != "" && d.Status >= 300 && d.Status <= 399
	case route.External:
		known = strings.HasPrefix(d.Target, "http")
	case route.Answer:
		known = d.Answer != nil
	case route.Error:
		known = d.Status != 0 && d.Output == ""
	}
	if !known {
		t.Errorf("decision that cannot be served: %+v", d)
	}
	if !strings.HasPrefix(d.Path, "/") {
		t.Errorf("the function's path is %q", d.Path)
	}
}

func joinURL(path, query string) string {
	if query == "" {
		return path
	}
	return path + "?" + query
}

// load splits a file of testdata into its table (configuration and outputs) and its
// stories.
func load(t testing.TB, file string) (table, stories string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table, stories, ok := strings.Cut(string(text), storiesMark)
	if !ok {
		t.Fatalf("%s has no stories", file)
	}
	return table, stories
}

// compile builds the router of a table. The lines of its outputs are a kind and a
// path.
func compile(t testing.TB, table string) (*route.Router, *lateen.Manifest) {
	t.Helper()
	var config struct {
		Routes   []lateen.Route    `json:"routes"`
		Wildcard []lateen.Wildcard `json:"wildcard"`
	}
	text, list, _ := strings.Cut(table, outputsMark)
	_, text, _ = strings.Cut(text, configMark)
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	m := &lateen.Manifest{
		Routes: config.Routes, Wildcards: config.Wildcard,
		Files: map[string]lateen.File{}, Functions: map[string]lateen.Function{},
		Outputs: map[string]string{}, Prerenders: map[string]lateen.Prerender{},
	}
	for line := range strings.Lines(list) {
		kind, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch kind {
		case "static":
			m.Files[path] = lateen.File{}
		case "function":
			m.Outputs[path], m.Functions[path] = path, lateen.Function{}
		case "prerender":
			m.Prerenders[path], m.Outputs[path], m.Functions[path] = lateen.Prerender{}, path, lateen.Function{}
		case "queue":
			m.Outputs[path], m.Functions[path] = path, lateen.Function{Triggers: []lateen.Trigger{{Type: "queue/v2beta"}}}
		default:
			t.Fatalf("unknown output %q", line)
		}
	}
	router, err := route.Compile(m)
	if err != nil {
		t.Fatal(err)
	}
	return router, m
}
