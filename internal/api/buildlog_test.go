package api_test

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/observe"
)

func TestEventsAreStreamedToTheirEnd(t *testing.T) {
	w := newWorld(t)
	_, body := w.ask(t, "owner", "GET", "/v3/now/deployments/{deployment}/events?direction=forward&follow=1&format=lines", "")
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	if len(lines) < 4 {
		t.Fatalf("the log is %q", lines)
	}
	last := lines[len(lines)-1]
	if err := w.check([]byte(last), `{"type":"alias-assigned","deploymentId":"{deployment}","alias":["shop.localhost","shop-team.localhost"],"aliasError":null}`); err != nil {
		t.Error(err)
	}
	if err := w.check([]byte(lines[0]), `{"type":"deployment-state","serial":1,"info":{"readyState":"BUILDING"}}`); err != nil {
		t.Error(err)
	}
	_, all := w.ask(t, "owner", "GET", "/v3/deployments/{deployment}/events", "")
	type event struct {
		Serial int `json:"serial"`
	}
	var forward, backward []event
	if err := json.Unmarshal(all, &forward); err != nil {
		t.Fatal(err)
	}
	_, all = w.ask(t, "owner", "GET", "/v3/deployments/{deployment}/events?direction=backward", "")
	if err := json.Unmarshal(all, &backward); err != nil {
		t.Fatal(err)
	}
	if len(forward) != len(lines)-1 || len(backward) != len(forward) || backward[0] != forward[len(forward)-1] {
		t.Errorf("forward %v, backward %v, %d lines", forward, backward, len(lines))
	}
	_, limited := w.ask(t, "owner", "GET", "/v3/deployments/{deployment}/events?limit=2", "")
	var two []json.RawMessage
	if err := json.Unmarshal(limited, &two); err != nil || len(two) != 2 {
		t.Errorf("limited is %s", limited)
	}
}

// The vercel CLI sends the fields of vercel.json among those of the request, and
// `lateen deploy` sends their names.
func TestTheBuildLogNamesFieldsWithoutEffectOfEitherClient(t *testing.T) {
	w := newWorld(t)
	for _, fields := range []string{
		`"regions":["iad1"],"nonsense":1,"cleanUrls":true,"source":"cli","version":2,"build":{"env":{}},"meta":{},"projectSettings":{}`,
		`"configFields":["regions","nonsense","cleanUrls"],"source":"cli","version":2,"somethingNew":1`,
	} {
		status, body := w.ask(t, "owner", "POST", "/v13/deployments?prebuilt=1", `{"name":"idle",`+fields+`,"files":[
			{"file":".vercel/output/config.json","data":"{\"version\":3}"},{"file":".vercel/output/builds.json","data":"{}"}]}`)
		var d struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(body, &d); status != http.StatusOK || err != nil {
			t.Fatalf("%d %s", status, body)
		}
		_, log := w.ask(t, "owner", "GET", "/v3/deployments/"+d.ID+"/events?follow=1&format=lines", "")
		for _, want := range []string{"Notice: regions of vercel.json has no effect: there is one region", "Notice: vercel.json: nothing reads nonsense"} {
			if !strings.Contains(string(log), want) {
				t.Errorf("the log has no %q:\n%s", want, log)
			}
		}
		if n := strings.Count(string(log), "Notice: "); n != 2 {
			t.Errorf("%d notices:\n%s", n, log)
		}
	}
}

// TestStreamsEndWhenThePlatformStops checks that the reader of a log does not keep
// the platform from stopping. A reader that connects during the stop gets an empty
// stream or an error.
func TestStreamsEndWhenThePlatformStops(t *testing.T) {
	w := newWorld(t)
	paths := []string{
		"/v1/projects/{project}/deployments/{deployment}/runtime-logs?format=lines", "/v1/projects/shop/logs?follow=1",
	}
	var streams []*http.Response
	for _, path := range paths { // the header arrives when the stream has begun
		streams = append(streams, w.stream(t, w.URL, path))
	}
	w.BeginStop()
	for i, resp := range streams {
		if _, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d, ended with %v", paths[i], resp.StatusCode, err)
		}
	}
	for range 5 {
		for _, path := range paths {
			if status, _ := w.ask(t, "owner", "GET", path, ""); status != http.StatusOK {
				t.Errorf("%s while the platform stops: status %d", path, status)
			}
		}
		status, _ := w.ask(t, "owner", "GET", "/v3/deployments/{deployment}/events?follow=1&format=lines", "")
		if status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Errorf("build log while the platform stops: status %d", status)
		}
	}
}

// stream requests a stream, and closes its body at the end of the test.
func (w *world) stream(t *testing.T, url, path string) *http.Response {
	t.Helper()
	return w.streamAs(t, "owner", url, path)
}

func (w *world) streamAs(t *testing.T, as, url, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+w.fill(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.tokens[as])
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// Readers of JSON lines skip empty lines, as does the vercel CLI's jsonlines parser.
func TestAFollowedLogWithoutNewsSendsEmptyLines(t *testing.T) {
	w := newWorld(t)
	handler, err := api.New(api.Options{Control: w.Control, Logs: w.Logs, Log: w.Log, KeepAlive: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	for _, path := range []string{
		"/v1/projects/{project}/deployments/{deployment}/runtime-logs?format=lines", "/v1/projects/{project}/logs?follow=1",
	} {
		resp := w.stream(t, server.URL, path)
		first := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "\n\n\n" {
			t.Errorf("%s begins with %q, %v", path, first, err)
		}
		resp.Body.Close()
	}
}

// A stream cannot take back values that were sent, and a client would read an error
// at its end as one more value.
func TestAStreamThatFailsIsCutOff(t *testing.T) {
	w := newWorld(t)
	failing := failingLogs{}
	handler, err := api.New(api.Options{Control: w.Control, Logs: failing, Log: w.Log})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	resp := w.stream(t, server.URL, "/v1/projects/{project}/logs?follow=1")
	body, err := io.ReadAll(resp.Body)
	if err == nil || !strings.Contains(string(body), "req_1") || strings.Contains(string(body), "error") {
		t.Errorf("the stream ended with %v after %q", err, body)
	}
}

// failingLogs yield one entry, and then panic.
type failingLogs struct{}

// Query implements [api.Logs].
func (failingLogs) Query(context.Context, observe.Query) ([]observe.Entry, bool, error) {
	return nil, false, nil
}

// Latest implements [api.Logs].
func (failingLogs) Latest() string { return "" }

// Tail implements [api.Logs].
func (failingLogs) Tail(context.Context, observe.Query) iter.Seq[observe.Entry] {
	return func(yield func(observe.Entry) bool) {
		yield(observe.Entry{Record: lateen.Record{ID: "req_1"}})
		panic("boom")
	}
}

// A revoked token, and a user removed from the team, read nothing more, also from a
// log that they follow already.
func TestAFollowedLogEndsWhenItsReaderLosesAuthorization(t *testing.T) {
	for _, path := range []string{
		"/v1/projects/{project}/deployments/{deployment}/runtime-logs?format=lines", "/v1/projects/{project}/logs?follow=1",
	} {
		for name, end := range map[string]func(w *world){
			"the membership ended": func(w *world) {
				if status, body := w.ask(t, "owner", "DELETE", "/v1/teams/team/members/reader", ""); status != http.StatusOK {
					t.Fatalf("%d %s", status, body)
				}
			},
			"the token was revoked": func(w *world) {
				if status, body := w.ask(t, "reader", "DELETE", "/v3/user/tokens/current", ""); status != http.StatusOK {
					t.Fatalf("%d %s", status, body)
				}
			},
		} {
			w := newWorld(t)
			handler, err := api.New(api.Options{Control: w.Control, Logs: w.Logs, Log: w.Log, KeepAlive: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(handler)
			defer server.Close()
			w.tokens["reader"] = w.Member(t, "reader", "team", lateen.Viewer)
			resp := w.streamAs(t, "reader", server.URL, path)
			defer resp.Body.Close()
			end(w)
			if _, err := io.Copy(io.Discard, resp.Body); err != nil { // to its end
				t.Errorf("%s: %s ends with %v", name, path, err)
			}
		}
	}
}
