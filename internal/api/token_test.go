package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/control/controltest"
)

func TestAuthentication(t *testing.T) {
	w := newWorld(t)
	w.rows(t, []row{
		{"anonymous", "GET", "/v2/user", "", 403, `{"error":{"code":"missing_token","class":"unauthenticated","missingToken":true,"hint":"…Bearer"}}`},
		{"wrong", "GET", "/v2/user", "", 403, `{"error":{"code":"invalid_token","invalidToken":true}}`},
		{"wrong", "GET", "/v9/projects", "", 403, `{"error":{"code":"invalid_token","invalidToken":true}}`},
		{"wrong", "POST", "/v13/deployments", "not even JSON", 403, `{"error":{"code":"invalid_token"}}`},
		{"nonmember", "GET", "/v9/projects/{project}", "", 404, `{"error":{"code":"project_not_found","class":"not_found"}}`},
		{"nonmember", "GET", "/v9/projects/{project}?teamId={team}", "", 404, `{"error":{"code":"team_not_found"}}`},
		{"nonmember", "GET", "/v2/teams/{team}", "", 404, `{"error":{"code":"team_not_found"}}`},
		{"nonmember", "GET", "/v13/deployments/{deployment}", "", 404, `{"error":{"code":"deployment_not_found"}}`},
		{"nonmember", "GET", "/v13/deployments/shop.localhost", "", 404, `{"error":{"code":"deployment_not_found"}}`},
		{"nonmember", "GET", "/v3/now/deployments/{deployment}/events?follow=1&format=lines", "", 404, `{"error":{"code":"deployment_not_found"}}`},
		{"nonmember", "GET", "/v1/projects/{project}/deployments/{deployment}/runtime-logs", "", 404, `{"error":{"code":"project_not_found"}}`},
		{"nonmember", "GET", "/api/logs/request-logs?projectId={project}", "", 404, `{"error":{"code":"project_not_found"}}`},
		{"nonmember", "GET", "/v1/projects/{project}/logs?follow=1", "", 404, `{"error":{"code":"project_not_found"}}`},
		{"nonmember", "GET", "/v10/projects/{project}/env", "", 404, ``},
		{"nonmember", "GET", "/v3/env/pull/{project}/production", "", 404, ``},
		{"nonmember", "GET", "/v3/env/pull/{project}", "", 404, ``},
		{"nonmember", "DELETE", "/v9/projects/{project}", "", 404, ``},
		{"nonmember", "DELETE", "/now/deployments/{deployment}?hard=1", "", 404, ``},
		{"nonmember", "DELETE", "/now/aliases/shop.localhost", "", 404, ``},
		{"nonmember", "POST", "/v13/deployments", `{"deploymentId":"{deployment}","name":"shop"}`, 404, ``},
		{"nonmember", "POST", "/v10/projects/{project}/promote/{deployment}", `{}`, 404, ``},
		{"nonmember", "GET", "/v9/projects", "", 200, `{"projects":[]}`},
		{"nonmember", "GET", "/v6/deployments?projectId={project}", "", 200, `{"deployments":[]}`},
		{"viewer", "DELETE", "/v9/projects/{project}", "", 403, `{"error":{"code":"role_too_low","class":"forbidden"}}`},
		{"viewer", "POST", "/v2/files", "x", 403, `{"error":{"code":"role_too_low"}}`},
		{"viewer", "GET", "/v3/env/pull/shop/production", "", 403, `{"error":{"code":"role_too_low"}}`},
		{"viewer", "PATCH", "/v10/projects/shop/env/{env}", `{"value":"x"}`, 403, ``},
		{"owner", "GET", "/v9/projects/shop", "", 200, `{"id":"{project}"}`},
	})
	if got := w.Traffic.Hosts()["shop.localhost"]; string(got) != w.names["deployment"] {
		t.Errorf("production leads to %q", got)
	}
}

// ownToken returns the id of the owner's token.
func (w *world) ownToken(t *testing.T) string {
	t.Helper()
	tokens, err := w.Tokens(w.As(t, w.Token))
	if err != nil || len(tokens) == 0 {
		t.Fatalf("%d tokens, %v", len(tokens), err)
	}
	return string(tokens[0].ID)
}

// The id of a project, a deployment, an alias or a team gives no access to a user
// outside the team.
func TestNoRouteShowsResourcesToUsersOutsideTheTeam(t *testing.T) {
	w := newWorld(t)
	_, text := w.ask(t, "anonymous", "GET", "/openapi.json", "")
	var api struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(text, &api); err != nil {
		t.Fatal(err)
	}
	w.names["alias"], w.names["target"], w.names["branch"], w.names["token"] = "shop.localhost", "production", "main", w.ownToken(t)
	const body = `{"key":"K","value":"v","type":"plain","target":["preview"],"alias":"evil.example.com","name":"evil"}`
	asked := 0
	for path, methods := range api.Paths {
		if !strings.Contains(path, "{") || strings.Contains(path, "{domain}") || strings.Contains(path, "{profile}") {
			continue // the others are about the caller's own objects, or the whole platform
		}
		for method := range methods {
			asked++
			if status, got := w.ask(t, "nonmember", strings.ToUpper(method), path, body); status != http.StatusNotFound {
				t.Errorf("%s %s: %d %.200s", method, path, status, got)
			}
		}
	}
	if asked < 25 {
		t.Errorf("only %d routes were tested", asked)
	}
	if got := w.Traffic.Hosts()["shop.localhost"]; string(got) != w.names["deployment"] {
		t.Errorf("production leads to %q", got)
	}
}

// The time is synthetic: a reply without a delay takes no time.
func TestOnlyClientsThatGuessTokensAreDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := controltest.New(t)
		handler, err := api.New(api.Options{Control: p.Control, Logs: failingLogs{}, Log: p.Log})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(token string) (status int, took time.Duration) {
			began := time.Now()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/user", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w.Code, time.Since(began)
		}
		var held time.Duration
		for range 13 { // 10 without a delay, then 100, 200 and 300 ms
			status, took := ask("ltn_" + strings.Repeat("x", 40))
			if status != 403 {
				t.Errorf("a wrong token gets %d, want 403", status)
			}
			held += took
		}
		if held != 600*time.Millisecond {
			t.Errorf("13 wrong tokens were held back for %s, want 600ms", held)
		}
		for range 100 {
			if status, took := ask(p.Token); status != 200 || took != 0 {
				t.Errorf("a right token from the same address gets %d after %s, want 200 at once", status, took)
			}
		}
	})
}
