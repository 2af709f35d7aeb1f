package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/api/apitest"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
	"github.com/lateen-dev/lateen/internal/observe"
)

// world is a server with a project, a deployment of it and callers of every
// kind, by the names that scenarios use.
type world struct {
	*apitest.Server

	client http.Client
	names  map[string]string // {name} in paths and bodies
	tokens map[string]string // by caller
}

func newWorld(t *testing.T, change ...func(*control.Options)) *world {
	t.Helper()
	s := apitest.New(t, change...)
	w := &world{Server: s, tokens: map[string]string{
		"owner": s.Token, "nobody": "", "wrong": "ltn_" + strings.Repeat("x", 40),
		"viewer": s.Member(t, "vic", "team", lateen.Viewer), "stranger": s.Member(t, "eve", "other", lateen.Owner),
	}}
	var files []lateen.UploadFile
	for name, content := range controltest.Files("preview") {
		files = append(files, lateen.UploadFile{Path: name, Data: content, Mode: 0o100644})
	}
	ctx := s.As(t, s.Token)
	d, err := s.Deploy(ctx, control.DeployRequest{Project: "shop", Files: files, Meta: map[string]string{"color": "teal"}})
	if err != nil {
		t.Fatal(err)
	}
	_, events, err := s.Events(ctx, string(d.ID), control.EventFilter{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	for range events { // to the end
	}
	v, err := s.CreateEnv(ctx, "shop", lateen.EnvVar{Key: "KEY", Value: "v", Type: lateen.EnvEncrypted, Target: []string{"production", "qa"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	w.names = map[string]string{
		"project": string(d.Project), "deployment": string(d.ID), "host": d.Host, "env": string(v.ID), "team": string(d.Team),
	}
	return w
}

func (w *world) fill(text string) string {
	for name, value := range w.names {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// ask sends a request as a caller and returns the status and the body.
func (w *world) ask(t *testing.T, as, method, path, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.URL+w.fill(path), strings.NewReader(w.fill(body)))
	if err != nil {
		t.Fatal(err)
	}
	if token := w.tokens[as]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) > 0 && resp.Header.Get("Content-Type") == "" {
		t.Errorf("%s %s answers without a content type", method, path)
	}
	return resp.StatusCode, got
}

// contains reports what of want, a part of a JSON value, is not in got.
func contains(got, want any, at string) error {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, want an object", at, got)
		}
		for key, value := range want {
			if _, there := object[key]; !there {
				return fmt.Errorf("%s has no %s", at, key)
			}
			if err := contains(object[key], value, at+"."+key); err != nil {
				return err
			}
		}
		return nil
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("%s is %v, want %d items", at, got, len(want))
		}
		for i := range want {
			if err := contains(list[i], want[i], fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	case string:
		if text, ok := got.(string); ok && strings.HasPrefix(want, "…") {
			if !strings.Contains(text, strings.TrimPrefix(want, "…")) {
				return fmt.Errorf("%s is %q, want %q in it", at, text, want)
			}
			return nil
		}
	}
	if !cmp.Equal(got, want) {
		return fmt.Errorf("%s is %v, want %v", at, got, want)
	}
	return nil
}

// check compares a body with the part of it that is expected: JSON in which a
// text that begins with … is a part of the text.
func (w *world) check(body []byte, want string) error {
	if want == "" {
		return nil
	}
	var got, expected any
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Errorf("the body is not JSON: %w: %.200s", err, body)
	}
	if err := json.Unmarshal([]byte(w.fill(want)), &expected); err != nil {
		return fmt.Errorf("the row is not JSON: %w", err)
	}
	return contains(got, expected, "body")
}

type row struct {
	as, method, path, body string
	status                 int
	want                   string // JSON
}

func (w *world) rows(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		status, body := w.ask(t, r.as, r.method, r.path, r.body)
		if status != r.status {
			t.Errorf("%s %s %s %.80s: %d, want %d: %.300s", r.as, r.method, r.path, r.body, status, r.status, body)
			continue
		}
		if err := w.check(body, r.want); err != nil {
			t.Errorf("%s %s %s %.80s: %v", r.as, r.method, r.path, r.body, err)
		}
	}
}

func TestReading(t *testing.T) {
	w := newWorld(t)
	w.rows(t, []row{
		{"nobody", "GET", "/healthz", "", 200, `{"status":"ok","version":"dev"}`},
		{"owner", "GET", "/v2/user", "", 200, `{"user":{"username":"owner","version":"northstar","defaultTeamId":"{team}"}}`},
		{"owner", "GET", "/user", "", 200, `{"user":{"username":"owner"}}`},
		{"owner", "GET", "/v1/teams", "", 200, `{"teams":[{"id":"{team}","slug":"team","membership":{"role":"OWNER"}}],"pagination":{"count":1,"next":null}}`},
		{"owner", "GET", "/teams/{team}", "", 200, `{"slug":"team"}`},
		{"owner", "GET", "/v2/teams/team", "", 200, `{"id":"{team}"}`},
		{"viewer", "GET", "/v2/teams/team", "", 200, `{"membership":{"role":"VIEWER"}}`},
		{"owner", "GET", "/v9/projects", "", 200, `{"projects":[{"id":"{project}","name":"shop","accountId":"{team}","nodeVersion":"24.x","targets":{"production":{"alias":["shop.localhost","shop-team.localhost"]}}}],"pagination":{"next":null}}`},
		{"owner", "GET", "/v9/projects?repoUrl=https://github.com/a/b", "", 200, `{"projects":[]}`},
		{"owner", "GET", "/v9/projects?search=zzz", "", 200, `{"projects":[]}`},
		{"owner", "GET", "/v9/projects/shop?rollbackInfo=true", "", 200, `{"id":"{project}","framework":null,"crons":{"definitions":[{"path":"/api/hello","schedule":"0 5 * * *","host":"{host}"}]}}`},
		{"owner", "GET", "/v9/projects/{project}?teamId={team}", "", 200, `{"name":"shop"}`},
		{"owner", "GET", "/v9/projects/{project}?slug=team", "", 200, `{"name":"shop"}`},
		{"owner", "GET", "/projects/shop/production-deployment", "", 200, `{"deployment":{"id":"{deployment}","url":"{host}"}}`},
		{"owner", "GET", "/projects/shop/custom-environments", "", 200, `{"environments":[{"id":"qa","slug":"qa"}]}`},
		{"owner", "GET", "/v10/projects/shop/env?decrypt=true", "", 200, `{"envs":[{"key":"KEY","value":"v","type":"encrypted","target":["production"],"customEnvironmentIds":["qa"]}]}`},
		{"owner", "GET", "/v10/projects/shop/env?target=preview", "", 200, `{"envs":[]}`},
		{"owner", "GET", "/v10/projects/shop/env?customEnvironmentId=qa", "", 200, `{"envs":[{"key":"KEY"}]}`},
		{"viewer", "GET", "/v10/projects/shop/env", "", 200, `{"envs":[{"key":"KEY","value":""}]}`},
		{"owner", "GET", "/v3/env/pull/shop/production", "", 200, `{"env":{"KEY":"v","VERCEL_ENV":"production"},"buildEnv":{"KEY":"v"}}`},
		{"owner", "GET", "/v3/env/pull/shop/preview/fix%2Fit?source=vercel-cli", "", 200, `{"env":{"VERCEL_ENV":"preview"}}`},
		{"owner", "GET", "/v3/env/pull/{deployment}", "", 200, `{"env":{"VERCEL_URL":"{host}"}}`},
		{"owner", "GET", "/v13/deployments/{deployment}", "", 200, `{"id":"{deployment}","uid":"{deployment}","url":"{host}","siteUrl":"http://{host}","readyState":"READY","state":"READY","target":"production","version":2,"name":"shop","projectId":"{project}","ownerId":"{team}","team":{"slug":"team"},"creator":{"username":"owner"},"meta":{"color":"teal"},"aliasError":null,"alias":["shop.localhost","shop-team.localhost"]}`},
		{"owner", "GET", "/v13/deployments/{host}", "", 200, `{"id":"{deployment}"}`},
		{"owner", "GET", "/v13/deployments/shop.localhost", "", 200, `{"id":"{deployment}"}`},
		{"owner", "GET", "/v6/deployments?projectId={project}&meta-color=teal&state=READY&target=production&limit=1", "", 200, `{"deployments":[{"uid":"{deployment}","state":"READY"}],"pagination":{"count":1}}`},
		{"owner", "GET", "/v6/deployments?meta-color=red", "", 200, `{"deployments":[],"pagination":{"next":null}}`},
		{"owner", "GET", "/v3/now/deployments?app=shop", "", 200, `{"deployments":[{"uid":"{deployment}"}]}`},
		{"owner", "GET", "/v11/deployments/{deployment}/builds", "", 200, `{"builds":[{"readyState":"READY","output":[{"path":"api/hello","type":"lambda","lambda":{"runtime":"nodejs22.x"}},{"path":"index.html","type":"file"},{"path":"style.css"}]}]}`},
		{"owner", "GET", "/v1/deployments/{deployment}/checks", "", 200, `{"checks":[]}`},
		{"owner", "GET", "/v2/deployments/{deployment}/check-runs", "", 200, `{"runs":[]}`},
		{"owner", "GET", "/now/deployments/{deployment}/aliases", "", 200, `{"aliases":[{"deploymentId":"{deployment}","deployment":{"url":"{host}"}},{}]}`},
		{"owner", "GET", "/v3/now/aliases?limit=1", "", 200, ``},
		{"owner", "GET", "/now/aliases/shop.localhost", "", 200, `{"alias":"shop.localhost","deploymentId":"{deployment}"}`},
		{"owner", "GET", "/v5/domains/www.example.com", "", 200, `{"domain":{"name":"www.example.com","serviceType":"external"}}`},
		{"owner", "GET", "/v9/projects/shop/promote/aliases?failedOnly=true", "", 200, `{"aliases":[]}`},
		{"owner", "GET", "/v9/projects/shop/rollback/aliases", "", 200, `{"aliases":[]}`},
		{"owner", "GET", "/api/logs/request-logs?projectId={project}", "", 200, `{"rows":[],"hasMoreRows":false}`},
		{"owner", "GET", "/v1/projects/shop/logs?limit=5", "", 200, ``},
		{"owner", "GET", "/v3/user/tokens", "", 200, `{"tokens":[{"name":"first token"}]}`},
	})
}

func TestWhoMayAsk(t *testing.T) {
	w := newWorld(t)
	w.rows(t, []row{
		{"nobody", "GET", "/v2/user", "", 403, `{"error":{"code":"missing_token","class":"unauthenticated","missingToken":true,"hint":"…Bearer"}}`},
		{"wrong", "GET", "/v2/user", "", 403, `{"error":{"code":"invalid_token","invalidToken":true}}`},
		{"wrong", "GET", "/v9/projects", "", 403, `{"error":{"code":"invalid_token","invalidToken":true}}`},
		{"wrong", "POST", "/v13/deployments", "not even JSON", 403, `{"error":{"code":"invalid_token"}}`},
		{"stranger", "GET", "/v9/projects/{project}", "", 404, `{"error":{"code":"project_not_found","class":"not_found"}}`},
		{"stranger", "GET", "/v9/projects/{project}?teamId={team}", "", 404, `{"error":{"code":"team_not_found"}}`},
		{"stranger", "GET", "/v2/teams/{team}", "", 404, `{"error":{"code":"team_not_found"}}`},
		{"stranger", "GET", "/v13/deployments/{deployment}", "", 404, `{"error":{"code":"deployment_not_found"}}`},
		{"stranger", "GET", "/v13/deployments/shop.localhost", "", 404, `{"error":{"code":"deployment_not_found"}}`},
		{"stranger", "GET", "/v3/now/deployments/{deployment}/events?follow=1&format=lines", "", 404, `{"error":{"code":"deployment_not_found"}}`},
		{"stranger", "GET", "/v1/projects/{project}/deployments/{deployment}/runtime-logs", "", 404, `{"error":{"code":"project_not_found"}}`},
		{"stranger", "GET", "/api/logs/request-logs?projectId={project}", "", 404, `{"error":{"code":"project_not_found"}}`},
		{"stranger", "GET", "/v1/projects/{project}/logs?follow=1", "", 404, `{"error":{"code":"project_not_found"}}`},
		{"stranger", "GET", "/v10/projects/{project}/env", "", 404, ``},
		{"stranger", "GET", "/v3/env/pull/{project}/production", "", 404, ``},
		{"stranger", "DELETE", "/v9/projects/{project}", "", 404, ``},
		{"stranger", "DELETE", "/now/deployments/{deployment}?hard=1", "", 404, ``},
		{"stranger", "DELETE", "/now/aliases/shop.localhost", "", 404, ``},
		{"stranger", "POST", "/v13/deployments", `{"deploymentId":"{deployment}","name":"shop"}`, 404, ``},
		{"stranger", "POST", "/v10/projects/{project}/promote/{deployment}", `{}`, 404, ``},
		{"stranger", "GET", "/v9/projects", "", 200, `{"projects":[]}`},
		{"stranger", "GET", "/v6/deployments?projectId={project}", "", 200, `{"deployments":[]}`},
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

// ownToken is the id of the owner's token.
func (w *world) ownToken(t *testing.T) string {
	t.Helper()
	tokens, err := w.Tokens(w.As(t, w.Token))
	if err != nil || len(tokens) == 0 {
		t.Fatalf("%d tokens, %v", len(tokens), err)
	}
	return string(tokens[0].ID)
}

// Whatever there is to ask of a project, a deployment, an alias or a team, its
// id is of no use to who is not in the team.
func TestStrangersFindNothingBehindAnyRoute(t *testing.T) {
	w := newWorld(t)
	_, text := w.ask(t, "nobody", "GET", "/openapi.json", "")
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
		if !strings.Contains(path, "{") || strings.Contains(path, "{domain}") {
			continue // the others tell of what is one's own
		}
		for method := range methods {
			asked++
			if status, got := w.ask(t, "stranger", strings.ToUpper(method), path, body); status != http.StatusNotFound {
				t.Errorf("%s %s: %d %.200s", method, path, status, got)
			}
		}
	}
	if asked < 25 {
		t.Errorf("only %d routes were asked", asked)
	}
	if got := w.Traffic.Hosts()["shop.localhost"]; string(got) != w.names["deployment"] {
		t.Errorf("production leads to %q", got)
	}
}

func TestWhatCannotBeAsked(t *testing.T) {
	w := newWorld(t)
	w.rows(t, []row{
		{"owner", "GET", "/", "", 404, `{"error":{"code":"not_found","hint":"…openapi"}}`},
		{"owner", "GET", "/v1/nowhere", "", 404, `{"error":{"code":"not_found"}}`},
		{"owner", "GET", "/v9/projects/shop/../../../etc/passwd", "", 404, ``},
		{"owner", "PUT", "/v2/user", "", 405, `{"error":{"code":"method_not_allowed","message":"…GET"}}`},
		{"owner", "GET", "/v9/projects?limit=x", "", 400, `{"error":{"code":"bad_request","message":"…limit"}}`},
		{"owner", "GET", "/v9/projects?limit=0", "", 400, ``},
		{"owner", "GET", "/v9/projects?until=yesterday", "", 400, `{"error":{"message":"…until"}}`},
		{"owner", "GET", "/api/logs/request-logs?projectId=shop&statusCode=abc", "", 400, ``},
		{"owner", "GET", "/api/logs/request-logs?projectId=shop&page=-1", "", 400, ``},
		{"owner", "GET", "/v3/env/pull/shop", "", 400, `{"error":{"code":"target_invalid"}}`},
		{"owner", "POST", "/v9/projects", `{`, 400, `{"error":{"code":"bad_request"}}`},
		{"owner", "POST", "/v9/projects", `{"name":7}`, 400, `{"error":{"code":"bad_request","message":"…name","fields":{"name":"must be a string"}}}`},
		{"owner", "POST", "/v9/projects", `[]`, 400, ``},
		{"owner", "POST", "/v9/projects", `{"name":"A B"}`, 400, `{"error":{"code":"project_name_invalid"}}`},
		{"owner", "POST", "/v9/projects", `{"name":"shop"}`, 409, `{"error":{"code":"project_taken","class":"conflict"}}`},
		{"owner", "POST", "/v9/projects", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, `{"error":{"code":"too_large"}}`},
		{"owner", "PATCH", "/v9/projects/shop", `{"rootDirectory":[]}`, 400, ``},
		{"owner", "POST", "/v10/projects/shop/env", `{"key":"KEY","value":"x","type":"plain","target":"production"}`, 409, `{"error":{"code":"ENV_CONFLICT"}}`},
		{"owner", "POST", "/v10/projects/shop/env", `{"key":"TZ","value":"x","type":"plain","target":["production"]}`, 400, `{"error":{"code":"env_reserved"}}`},
		{"owner", "POST", "/v10/projects/shop/env", `[]`, 400, `{"error":{"code":"env_invalid"}}`},
		{"owner", "PATCH", "/v10/projects/shop/env/env_nowhere", `{}`, 404, `{"error":{"code":"env_not_found"}}`},
		{"owner", "POST", "/v13/deployments", `{"name":"shop","files":[{"file":"package.json","data":"{}"}]}`, 400, `{"error":{"code":"source_build_unsupported","hint":"…prebuilt"}}`},
		{"owner", "POST", "/v13/deployments", `{"name":"shop","files":[{"file":".vercel/output/config.json","sha":"` + strings.Repeat("a", 40) + `"}]}`, 400, `{"error":{"code":"missing_files","missing":["` + strings.Repeat("a", 40) + `"]}}`},
		{"owner", "POST", "/v13/deployments", `{"name":"shop","files":[{"file":"../.vercel/output/config.json","data":"{}"}]}`, 400, `{"error":{"code":"invalid_path"}}`},
		{"owner", "POST", "/v13/deployments", `{"name":"shop","env":{"A":["x"]}}`, 400, `{"error":{"code":"env_value_invalid_type"}}`},
		{"owner", "POST", "/v13/deployments", `{"name":"shop","files":"x"}`, 400, `{"error":{"fields":{"files":"must be a list"}}}`},
		{"owner", "POST", "/v13/deployments", `{"deploymentId":"dpl_nowhere"}`, 404, ``},
		{"owner", "GET", "/v13/deployments/nowhere.localhost", "", 404, `{"error":{"code":"deployment_not_found"}}`},
		{"owner", "PATCH", "/v12/deployments/{deployment}/cancel", "", 409, `{"error":{"code":"deployment_final"}}`},
		{"owner", "DELETE", "/v13/deployments/{deployment}?safe=1", "", 409, `{"error":{"code":"deployment_aliased"}}`},
		{"owner", "POST", "/now/deployments/{deployment}/aliases", `{"alias":"api.localhost"}`, 403, `{"error":{"code":"forbidden_alias"}}`},
		{"owner", "POST", "/now/deployments/{deployment}/aliases", `{"alias":"a b"}`, 400, `{"error":{"code":"invalid_alias"}}`},
		{"owner", "POST", "/now/deployments/{deployment}/aliases", `{}`, 400, `{"error":{"code":"invalid_alias"}}`},
		{"owner", "POST", "/v9/projects/other/rollback/{deployment}", `{}`, 404, `{"error":{"code":"project_not_found"}}`},
		{"owner", "POST", "/v3/user/tokens", `{}`, 400, ``},
	})
	if got := w.Traffic.Hosts()["shop.localhost"]; string(got) != w.names["deployment"] {
		t.Errorf("production leads to %q", got)
	}
}

func TestChanging(t *testing.T) {
	w := newWorld(t)
	w.rows(t, []row{
		{"owner", "POST", "/v1/projects", `{"name":"blog","framework":"nextjs","ssoProtection":null}`, 200, `{"name":"blog","framework":"nextjs"}`},
		{"owner", "PATCH", "/v9/projects/blog", `{"buildCommand":"make","ssoProtection":{"deploymentType":"all"}}`, 200, `{"framework":"nextjs","buildCommand":"make"}`},
		{"owner", "PATCH", "/v9/projects/blog", `{"framework":null,"name":"news"}`, 200, `{"name":"news","framework":null,"buildCommand":"make"}`},
		{"owner", "GET", "/v9/projects/blog", "", 404, ``},
		{"owner", "GET", "/projects/news/production-deployment", "", 404, `{"error":{"code":"deployment_not_found"}}`},
		{"owner", "DELETE", "/projects/news", "", 204, ``},
		{"owner", "POST", "/v10/projects/shop/env", `{"key":"A","value":"1","target":["production"]}`, 201, `{"created":{"key":"A","value":"1","type":"encrypted"},"failed":[]}`},
		{"owner", "POST", "/v10/projects/shop/env", `[{"key":"B","value":"1","type":"plain","target":"preview"},{"key":"C","value":"1","type":"sensitive","target":["preview"],"customEnvironmentIds":["qa"]}]`, 201, `{"created":[{"key":"B"},{"key":"C","value":"","customEnvironmentIds":["qa"]}]}`},
		{"owner", "POST", "/v10/projects/shop/env", `[{"key":"NEW","value":"1","target":"preview"},{"key":"B","value":"2","target":"preview"}]`, 409, ``},
		{"owner", "POST", "/v10/projects/shop/env", `[{"key":"NEW","value":"1","target":"preview"},{"key":"not a name","value":"2","target":"preview"}]`, 400, ``},
		{"owner", "POST", "/v10/projects/shop/env", `{"key":"NEW","value":"2","target":"preview"}`, 201, ``}, // for neither of the two left anything
		{"owner", "POST", "/v10/projects/shop/env?upsert=true", `{"key":"A","value":"2","type":"plain","target":["production"]}`, 201, `{"created":{"value":"2"}}`},
		{"owner", "PATCH", "/v10/projects/shop/env/{env}", `{"value":"w"}`, 200, `{"value":"w","target":["production"],"customEnvironmentIds":["qa"]}`},
		{"owner", "PATCH", "/v10/projects/shop/env/{env}", `{"target":["preview"],"customEnvironmentIds":[]}`, 200, `{"value":"w","target":["preview"],"customEnvironmentIds":[]}`},
		{"owner", "DELETE", "/v10/projects/shop/env/{env}", "", 200, `{"key":"KEY","value":""}`},
		{"owner", "POST", "/now/deployments/{host}/aliases", `{"alias":"www.example.com"}`, 200, `{"alias":"www.example.com","siteUrl":"http://www.example.com"}`},
		{"owner", "POST", "/now/deployments/{host}/aliases", `{"alias":"www.example.com"}`, 200, `{"oldDeploymentId":"{deployment}"}`},
		{"owner", "DELETE", "/now/aliases/www.example.com", "", 200, `{"status":"SUCCESS"}`},
		{"owner", "POST", "/v10/projects/shop/promote/{deployment}", `{}`, 201, `{"id":"{deployment}"}`},
		{"owner", "POST", "/v9/projects/shop/rollback/{deployment}", `{}`, 201, `{"id":"{deployment}"}`},
		{"owner", "GET", "/v9/projects/shop?rollbackInfo=true", "", 200, `{"lastAliasRequest":{"type":"rollback","jobStatus":"succeeded","toDeploymentId":"{deployment}"}}`},
		{"owner", "GET", "/v9/projects/shop/rollback/aliases", "", 200, `{"aliases":[{"status":"completed"},{"status":"completed"}]}`},
		{"owner", "POST", "/v13/deployments?forceNew=1", `{"deploymentId":"{deployment}","name":"shop","meta":{"action":"redeploy"},"env":{"A":1,"B":true,"C":null}}`, 200, `{"readyState":"QUEUED","target":null,"meta":{"action":"redeploy","color":"teal"}}`},
		{"owner", "POST", "/v3/user/tokens", `{"name":"ci"}`, 200, `{"bearerToken":"…ltn_","token":{"name":"ci"}}`},
		{"owner", "DELETE", "/now/deployments/{deployment}?hard=0", "", 200, `{"uid":"{deployment}","state":"DELETED"}`},
		{"owner", "GET", "/v13/deployments/shop.localhost", "", 404, ``},
		{"owner", "DELETE", "/v3/user/tokens/current", "", 200, `{"tokenId":"current"}`},
		{"owner", "GET", "/v2/user", "", 403, `{"error":{"code":"invalid_token"}}`},
	})
}

// upload sends a file and returns the status.
func (w *world) upload(t *testing.T, sha, size, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/v2/files", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.Token)
	req.Header.Set("X-Now-Digest", sha)
	if size != "" {
		req.Header.Set("X-Now-Size", size)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestUploads(t *testing.T) {
	w := newWorld(t, func(o *control.Options) { o.MaxFile = 1000 })
	const sha = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" // of hello
	for name, tt := range map[string]struct {
		sha, size, body string
		want            int
	}{
		"what was announced":    {sha, "5", "hello", 200},
		"without a size":        {sha, "", "hello", 200},
		"once more":             {sha, "5", "hello", 200},
		"nothing":               {"da39a3ee5e6b4b0d3255bfef95601890afd80709", "0", "", 200},
		"another content":       {sha, "5", "jello", 400},
		"another size":          {sha, "6", "hello", 400},
		"an odd size":           {sha, "-1", "hello", 400},
		"no digest":             {"", "5", "hello", 400},
		"a path for a digest":   {"../../etc/passwd", "5", "hello", 400},
		"more than is allowed":  {sha, "", strings.Repeat("x", 1001), 413},
		"more than fits a size": {sha, "99999999999999999999", "hello", 400},
	} {
		if got := w.upload(t, tt.sha, tt.size, tt.body); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// A body that ends before its length leaves nothing behind.
func TestACutOffUploadLeavesNothing(t *testing.T) {
	w := newWorld(t)
	const sha = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v2/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Now-Digest: %s\r\nContent-Length: 5\r\n\r\nhel", w.Token, sha)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && resp.StatusCode != http.StatusBadRequest {
		t.Errorf("the answer is %s", resp.Status)
	}
	conn.Close()
	status, body := w.ask(t, "owner", "POST", "/v13/deployments", `{"name":"shop","files":[{"file":".vercel/output/config.json","sha":"`+sha+`"}]}`)
	if status != 400 || !bytes.Contains(body, []byte("missing_files")) {
		t.Errorf("%d: %s", status, body)
	}
}

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

// What follows a log does not keep the platform from stopping.
func TestStreamsEndWhenThePlatformStops(t *testing.T) {
	w := newWorld(t)
	ended := make(chan int)
	for _, path := range []string{
		"/v1/projects/{project}/deployments/{deployment}/runtime-logs?format=lines", "/v1/projects/shop/logs?follow=1",
	} {
		go func() {
			status, _ := w.ask(t, "owner", "GET", path, "")
			ended <- status
		}()
	}
	select {
	case status := <-ended:
		t.Fatalf("a stream ended by itself: %d", status)
	case <-time.After(200 * time.Millisecond):
	}
	w.BeginStop()
	for range 2 {
		if status := <-ended; status != 200 {
			t.Errorf("the status is %d", status)
		}
	}
}

// The vercel CLI knows no hints: it is told them in the message, and where a
// deployment is served if that is not https.
func TestTheVercelCLIIsTalkedToInItsOwnWay(t *testing.T) {
	w := newWorld(t)
	ask := func(body string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/v13/deployments", strings.NewReader(w.fill(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.Token)
		req.Header.Set("User-Agent", "vercel 60.1.3 node-v24 linux (x64)")
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp, string(text)
	}
	_, text := ask(`{"name":"shop","files":[{"file":"package.json","data":"{}"}]}`)
	if !strings.Contains(text, "is not there yet. Run `vercel build`") {
		t.Errorf("the answer is %s", text)
	}
	resp, _ := ask(`{"deploymentId":"{deployment}","name":"shop"}`)
	if got := resp.Header.Get("X-Vercel-Notice-Site"); !strings.Contains(got, "http://shop-") {
		t.Errorf("the notice is %q", got)
	}
}

func TestAPanicIsAnError(t *testing.T) {
	w := newWorld(t, func(o *control.Options) {
		site := o.SiteURL
		o.SiteURL = func(host string) string {
			if host == "boom.example.com" {
				panic("boom")
			}
			if site != nil {
				return site(host)
			}
			return "http://" + host
		}
	})
	w.rows(t, []row{
		{"owner", "POST", "/now/deployments/{deployment}/aliases", `{"alias":"boom.example.com"}`, 500, `{"error":{"code":"internal","message":"…request req_","requestId":"…req_"}}`},
		{"owner", "GET", "/v2/user", "", 200, ``},
	})
}

// What has been sent of a stream cannot be taken back, and an error at its end
// would be taken for one more value.
func TestAStreamThatFailsIsCutOff(t *testing.T) {
	w := newWorld(t)
	failing := failingLogs{}
	handler, err := api.New(api.Options{Control: w.Control, Logs: failing, Log: w.Log})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+w.fill("/v1/projects/{project}/logs?follow=1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.tokens["owner"])
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil || !strings.Contains(string(body), "req_1") || strings.Contains(string(body), "error") {
		t.Errorf("the stream ended with %v after %q", err, body)
	}
}

// failingLogs have one entry, and then panic.
type failingLogs struct{}

// Query implements [api.Logs].
func (failingLogs) Query(context.Context, observe.Query) ([]observe.Entry, bool, error) {
	return nil, false, nil
}

// Tail implements [api.Logs].
func (failingLogs) Tail(context.Context, observe.Query) iter.Seq[observe.Entry] {
	return func(yield func(observe.Entry) bool) {
		yield(observe.Entry{Record: lateen.Record{ID: "req_1"}})
		panic("boom")
	}
}

func TestWhoGuessesTokensWaitsAndNobodyElseDoes(t *testing.T) {
	w := newWorld(t)
	began := time.Now()
	for range 13 { // 10 of them for nothing
		if status, _ := w.ask(t, "wrong", "GET", "/v2/user", ""); status != 401 && status != 403 {
			t.Errorf("a wrong token gets %d", status)
		}
	}
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("13 wrong tokens were answered in %s", took)
	}
	began = time.Now()
	for range 100 {
		if status, _ := w.ask(t, "owner", "GET", "/v2/user", ""); status != 200 {
			t.Errorf("a right one gets %d", status)
		}
	}
	if took := time.Since(began); took > 20*time.Second { // 40 s at the least, if each were held like the last wrong one
		t.Errorf("100 right tokens from the same address took %s", took)
	}
}

func TestEveryCodeHasAStatus(t *testing.T) {
	for _, code := range lateen.Codes() {
		status := api.Status(&lateen.Error{Code: code, Reason: "x"})
		if status < 400 || status > 599 || (status == 500) != (code == lateen.Internal) {
			t.Errorf("%s is %d", code, status)
		}
	}
}

func TestNewRefusesMissingOptions(t *testing.T) {
	if _, err := api.New(api.Options{}); err == nil {
		t.Error("an API over nothing was made")
	}
}
