//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// site is a host that a platform serves.
type site struct {
	*platform

	host string // without port
}

// url is the address of a path on the site, with the port in it as a browser has.
func (s site) address(path string) string {
	return fmt.Sprintf("http://%s:%d%s", s.host, s.port, path)
}

// option changes a request before it is sent.
type option func(*http.Request)

func withHeader(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func withCookie(value string) option { return withHeader("Cookie", value) }

// response is a response that was read to its end.
type response struct {
	Status int
	Header http.Header
	Body   string
}

// get requests a path.
func (s site) get(t *testing.T, path string, options ...option) *response {
	t.Helper()
	return s.send(t, http.MethodGet, path, nil, options...)
}

// post sends a body of a content type.
func (s site) post(t *testing.T, path, contentType, body string, options ...option) *response {
	t.Helper()
	return s.send(t, http.MethodPost, path, strings.NewReader(body), append([]option{withHeader("Content-Type", contentType)}, options...)...)
}

func (s site) send(t *testing.T, method, path string, body io.Reader, options ...option) *response {
	t.Helper()
	r, err := s.try(t, method, path, body, options...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, s.address(path), err)
	}
	return r
}

// try sends a request that may fail.
func (s site) try(t *testing.T, method, path string, body io.Reader, options ...option) (*response, error) {
	t.Helper()
	resp, err := s.open(t, method, path, body, options...)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return &response{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}, err
}

// open sends a request and returns its response as soon as the header is there.
func (s site) open(t *testing.T, method, path string, body io.Reader, options ...option) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.address(path), body)
	if err != nil {
		return nil, err
	}
	for _, change := range options {
		change(req)
	}
	return s.http.Do(req)
}

var (
	commentPattern = regexp.MustCompile(`<!--.*?-->`)
	tagPattern     = regexp.MustCompile(`<[^>]*>`)
)

// fact is the text that an example's page shows under a label, "" if it does not.
func (r *response) fact(label string) string {
	_, rest, found := strings.Cut(r.Body, `data-testid="`+label+`"`)
	if !found {
		return ""
	}
	_, rest, _ = strings.Cut(rest, ">")
	end := regexp.MustCompile(`</(dd|time|h1|p|output)>`).FindStringIndex(rest)
	if end == nil {
		return ""
	}
	text := tagPattern.ReplaceAllString(commentPattern.ReplaceAllString(rest[:end[0]], ""), "")
	return strings.TrimSpace(html.UnescapeString(text))
}

// requestID is the id under which the platform knows the request.
func (r *response) requestID() string {
	_, id, _ := strings.Cut(r.Header.Get("X-Vercel-Id"), "::")
	return id
}

// decode reads a body of JSON.
func decode[T any](t *testing.T, r *response) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.Body), &v); err != nil {
		t.Fatalf("the body is not the JSON that was expected: %v\n%s", err, clip(r.Body))
	}
	return v
}

// clip cuts text that is too long to read.
func clip(text string) string {
	if len(text) > 800 {
		return text[:800] + "…"
	}
	return text
}

// want is the expected result of one request in a row of a table.
type want struct {
	name   string // "" is the method and path
	method string // "" is GET
	path   string
	header []string // names and values in turn, sent
	body   string   // sent

	status   int               // 0 is 200
	location string            // "" is not looked at
	has      map[string]string // response headers; "" is for one that must be absent
	facts    map[string]string // by label
	contains []string          // in the body
	json     any               // the body, decoded
}

// expect sends each request and checks the response.
func (s site) expect(t *testing.T, rows ...want) {
	t.Helper()
	for _, row := range rows {
		method := row.method
		if method == "" {
			method = http.MethodGet
		}
		name := row.name
		if name == "" {
			name = method + " " + row.path
		}
		if slices.Contains(otherwise[tested(t)], name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s.tell(t)
			var options []option
			for i := 0; i+1 < len(row.header); i += 2 {
				options = append(options, withHeader(row.header[i], row.header[i+1]))
			}
			var body io.Reader
			if row.body != "" {
				body = strings.NewReader(row.body)
			}
			row.check(t, s.send(t, method, row.path, body, options...))
		})
	}
}

func (w *want) check(t *testing.T, r *response) {
	t.Helper()
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	if r.Status != status {
		t.Errorf("status %d, want %d", r.Status, status)
	}
	if w.location != "" && r.Header.Get("Location") != w.location {
		t.Errorf("location %q, want %q", r.Header.Get("Location"), w.location)
	}
	for name, value := range w.has {
		if got := strings.Join(r.Header.Values(name), ", "); got != value {
			t.Errorf("header %s is %q, want %q", name, got, value)
		}
	}
	for label, value := range w.facts {
		if got := r.fact(label); got != value {
			t.Errorf("the page's %s is %q, want %q", label, got, value)
		}
	}
	for _, text := range w.contains {
		if !strings.Contains(r.Body, text) {
			t.Errorf("the body does not have %q", text)
		}
	}
	if w.json != nil {
		sameJSON(t, r, w.json)
	}
	if t.Failed() {
		t.Logf("%d\n%s\n%s", r.Status, headerText(r.Header), clip(r.Body))
	}
}

// sameJSON fails unless the body is the JSON of v.
func sameJSON(t *testing.T, r *response, v any) {
	t.Helper()
	expected, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal([]byte(r.Body), &got); err != nil {
		t.Errorf("the body is not JSON: %v", err)
		return
	}
	if err := json.Unmarshal(expected, &want); err != nil {
		t.Fatal(err)
	}
	gotText, _ := json.Marshal(got)   //nolint:errchkjson // it was JSON
	wantText, _ := json.Marshal(want) //nolint:errchkjson // it was JSON
	if !bytes.Equal(gotText, wantText) {
		t.Errorf("the body is %s, want %s", gotText, wantText)
	}
}

func headerText(h http.Header) string {
	var b bytes.Buffer
	_ = h.Write(&b) // to memory
	return b.String()
}

// piece is a part of a streamed response with the moment it arrived.
type piece struct {
	text string
	at   time.Time
}

// stream reads a response piece by piece, as they come.
func (s site) stream(t *testing.T, path string) (*http.Response, []piece) {
	t.Helper()
	resp, err := s.open(t, http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var pieces []piece
	buffer := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buffer)
		if n > 0 {
			pieces = append(pieces, piece{string(buffer[:n]), time.Now()})
		}
		if err == io.EOF {
			return resp, pieces
		}
		if err != nil {
			t.Fatalf("the stream of %s broke after %d pieces: %v", path, len(pieces), err)
		}
	}
}

var momentPattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)

// expectStream fails unless the first piece of a response arrived before its
// last part was even made: the body names the moment each part was made.
func (s site) expectStream(t *testing.T, path string, parts int) {
	t.Helper()
	s.tell(t)
	resp, pieces := s.stream(t, path)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s", path, resp.Status)
	}
	var body strings.Builder
	for _, p := range pieces {
		body.WriteString(p.text)
	}
	moments := momentPattern.FindAllString(body.String(), -1)
	if len(moments) < parts {
		t.Fatalf("the body of %s names %d moments, want %d:\n%s", path, len(moments), parts, clip(body.String()))
	}
	last, err := time.Parse(time.RFC3339Nano, moments[len(moments)-1])
	if err != nil {
		t.Fatal(err)
	}
	if !pieces[0].at.Before(last) {
		t.Errorf("the first piece of %s arrived at %s, after the last part was made at %s: it was held back", path, pieces[0].at.UTC(), last)
	}
}
