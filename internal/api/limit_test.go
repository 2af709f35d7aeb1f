package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// A database takes so many values in a statement, and a caller that sends more is
// told so: that is no failure of the platform.
func TestListsOfWordsInQueriesAreBounded(t *testing.T) {
	w := newWorld(t)
	many := strings.Repeat("a,", 40_000) + "a" // of 32,766 that SQLite takes
	for _, path := range []string{
		"/v6/deployments?users=" + many, "/v6/deployments?state=" + many, "/v3/events?types=" + many, "/v3/events?userId=" + many,
		"/v3/events?projectIds=" + many, "/v1/projects/shop/logs?level=" + many,
	} {
		status, body := w.ask(t, "owner", "GET", path, "")
		if err := w.check(body, `{"error":{"code":"bad_request"}}`); err != nil || status != http.StatusBadRequest {
			t.Errorf("%.40s: %d %v", path, status, err)
		}
	}
	status, body := w.ask(t, "owner", "GET", "/v6/deployments?state=READY,ERROR,READY&users=a,b", "")
	if status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

// What a database cannot hold is taken out of free text, which can make two names
// the same.
func TestNamesOfMetadataThatBecomeTheSame(t *testing.T) {
	w := newWorld(t)
	status, body := w.ask(t, "owner", "POST", "/v13/deployments", `{"deploymentId":"{deployment}","name":"shop","meta":{"a":"1","a\u0000":"2"}}`)
	if err := w.check(body, `{"error":{"code":"bad_request"}}`); err != nil || status != http.StatusBadRequest {
		t.Errorf("%d %v", status, err)
	}
}

// A request without a token makes the platform hold no more than an invitation needs.
func TestACallWithoutATokenHasASmallBody(t *testing.T) {
	w := newWorld(t)
	body := `{"invitation":"` + strings.Repeat("x", 64<<10) + `"}`
	status, reply := w.ask(t, "nobody", "POST", "/v1/invitations/accept", body)
	if status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", status, reply)
	}
}
