package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// A database limits the values in a statement. A request with more values is refused
// as invalid, not as a failure of the platform.
func TestListsOfWordsInQueriesAreBounded(t *testing.T) {
	w := newWorld(t)
	many := strings.Repeat("a,", 40_000) + "a" // more than the 32,766 values of SQLite
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

// Characters that a database cannot store are removed from free text, which can make
// two names equal.
func TestNamesOfMetadataThatBecomeTheSame(t *testing.T) {
	w := newWorld(t)
	status, body := w.ask(t, "owner", "POST", "/v13/deployments", `{"deploymentId":"{deployment}","name":"shop","meta":{"a":"1","a\u0000":"2"}}`)
	if err := w.check(body, `{"error":{"code":"bad_request"}}`); err != nil || status != http.StatusBadRequest {
		t.Errorf("%d %v", status, err)
	}
}

// A request without a token may use only the memory that an invitation needs.
func TestACallWithoutATokenHasASmallBody(t *testing.T) {
	w := newWorld(t)
	body := `{"invitation":"` + strings.Repeat("x", 64<<10) + `"}`
	status, reply := w.ask(t, "anonymous", "POST", "/v1/invitations/accept", body)
	if status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", status, reply)
	}
}
