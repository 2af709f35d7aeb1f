package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/api/apitest"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
)

// world is a server with a project, a deployment and callers of every kind, with the
// names that tests use.
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
		"owner": s.Token, "anonymous": "", "wrong": "ltn_" + strings.Repeat("x", 40),
		"viewer": s.Member(t, "vic", "team", lateen.Viewer), "nonmember": s.Member(t, "eve", "other", lateen.Owner),
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
	_, events, err := s.BuildLog(ctx, string(d.ID), control.BuildLogFilter{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	for range events { // to the end
	}
	v, err := s.CreateEnv(ctx, "shop", lateen.EnvVar{Key: "KEY", Value: "v", Type: lateen.EnvEncrypted, Target: []lateen.Environment{"production", "qa"}}, false)
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

// contains reports the parts of want, a part of a JSON value, that are missing in
// got.
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

// check compares a body with the expected part of it, in JSON. A text that begins
// with … is a part of the actual text.
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

func TestReadOperationsReturnTheExpectedFields(t *testing.T) {
	w := newWorld(t)
	w.rows(t, []row{
		{"anonymous", "GET", "/healthz", "", 200, `{"status":"ok","version":"dev"}`},
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
		{"owner", "GET", "/v10/projects/shop/env", "", 200, `{"envs":[{"key":"KEY","value":"","decrypted":false}]}`},
		{"viewer", "GET", "/v10/projects/shop/env?decrypt=true", "", 200, `{"envs":[{"key":"KEY","value":"","decrypted":false}]}`},
		{"owner", "GET", "/v3/env/pull/shop/production", "", 200, `{"env":{"KEY":"v","VERCEL_ENV":"production"},"buildEnv":{"KEY":"v"}}`},
		{"owner", "GET", "/v3/env/pull/shop/preview/fix%2Fit?source=vercel-cli", "", 200, `{"env":{"VERCEL_ENV":"preview"}}`},
		{"owner", "GET", "/v3/env/pull/shop?source=vercel-cli:dev", "", 200, `{"env":{"VERCEL_ENV":"development"},"buildEnv":{"VERCEL_ENV":"development"}}`},
		{"owner", "GET", "/v3/env/pull/{deployment}", "", 200, `{"env":{"VERCEL_URL":"{host}"}}`},
		{"owner", "GET", "/v13/deployments/{deployment}", "", 200, `{"id":"{deployment}","uid":"{deployment}","url":"{host}","siteUrl":"http://{host}","readyState":"READY","state":"READY","target":"production","version":2,"name":"shop","projectId":"{project}","ownerId":"{team}","team":{"slug":"team"},"creator":{"username":"owner"},"meta":{"color":"teal"},"aliasError":null,"alias":["shop.localhost","shop-team.localhost"]}`},
		{"owner", "GET", "/v13/deployments/{host}", "", 200, `{"id":"{deployment}"}`},
		{"owner", "GET", "/v13/deployments/shop.localhost", "", 200, `{"id":"{deployment}"}`},
		{"owner", "GET", "/v6/deployments?state=foo", "", 400, `{"error":{"code":"bad_request","message":"state \"foo\" does not exist"}}`},
		{"owner", "GET", "/v1/projects/shop/logs?source=foo", "", 400, ``},
		{"owner", "GET", "/v1/requests/local::req_none", "", 404, `{"error":{"code":"request_not_found"}}`},
		{"owner", "GET", "/v6/deployments?projectId={project}&limit=1", "", 200, `{"deployments":[{"live":true}]}`},
		{"owner", "GET", "/v13/deployments/{deployment}", "", 200, `{"live":true}`},
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

func TestInvalidRequests(t *testing.T) {
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
		{"owner", "GET", "/v3/env/pull/nothing", "", 404, `{"error":{"code":"project_not_found"}}`},
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

func TestWriteOperationsChangeTheirResources(t *testing.T) {
	w := newWorld(t)
	w.rows(t, []row{
		{"owner", "POST", "/v1/projects", `{"name":"blog","framework":"nextjs","ssoProtection":null}`, 200, `{"name":"blog","framework":"nextjs"}`},
		{"owner", "PATCH", "/v9/projects/blog", `{"buildCommand":"make","ssoProtection":{"deploymentType":"all"}}`, 200, `{"framework":"nextjs","buildCommand":"make"}`},
		{"owner", "PATCH", "/v9/projects/blog", `{"framework":null,"name":"news"}`, 200, `{"name":"news","framework":null,"buildCommand":"make"}`},
		{"owner", "GET", "/v9/projects/blog", "", 404, ``},
		{"owner", "GET", "/projects/news/production-deployment", "", 404, `{"error":{"code":"deployment_not_found"}}`},
		{"owner", "DELETE", "/projects/news", "", 204, ``},
		{"owner", "POST", "/v10/projects/shop/env", `{"key":"A","value":"1","target":["production"]}`, 201, `{"created":{"key":"A","value":"","type":"encrypted"},"failed":[]}`},
		{"owner", "POST", "/v10/projects/shop/env", `[{"key":"B","value":"1","type":"plain","target":"preview"},{"key":"C","value":"1","type":"sensitive","target":["preview"],"customEnvironmentIds":["qa"]}]`, 201, `{"created":[{"key":"B"},{"key":"C","value":"","customEnvironmentIds":["qa"]}]}`},
		{"owner", "POST", "/v10/projects/shop/env", `[{"key":"NEW","value":"1","target":"preview"},{"key":"B","value":"2","target":"preview"}]`, 409, ``},
		{"owner", "POST", "/v10/projects/shop/env", `[{"key":"NEW","value":"1","target":"preview"},{"key":"not a name","value":"2","target":"preview"}]`, 400, ``},
		{"owner", "POST", "/v10/projects/shop/env", `{"key":"NEW","value":"2","target":"preview"}`, 201, ``}, // the failed request before added neither variable
		{"owner", "POST", "/v10/projects/shop/env?upsert=true", `{"key":"A","value":"2","type":"plain","target":["production"]}`, 201, `{"created":{"value":"2"}}`},
		{"owner", "PATCH", "/v10/projects/shop/env/{env}", `{"value":"w"}`, 200, `{"value":"","target":["production"],"customEnvironmentIds":["qa"]}`},
		{"owner", "PATCH", "/v10/projects/shop/env/{env}", `{"target":["preview"],"customEnvironmentIds":[]}`, 200, `{"value":"","target":["preview"],"customEnvironmentIds":[]}`},
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

// The vercel CLI does not show hints: its messages contain the hint, and the URL of
// a deployment without https.
func TestTheVercelCLIGetsHintsInMessages(t *testing.T) {
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
	if !strings.Contains(text, "are not supported yet. Run `vercel build`") {
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
