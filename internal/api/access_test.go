package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/secret"
)

var updateAccess = flag.Bool("update-access", false, "write testdata/access.golden")

// token creates a token with a scope for a caller's user, and adds it as the caller
// name.
func (w *world) token(t *testing.T, as, name string, scope lateen.Scope, project lateen.ProjectID) {
	t.Helper()
	p, err := w.Authenticate(t.Context(), w.tokens[as], "")
	if err != nil {
		t.Fatal(err)
	}
	bearer, hash := secret.NewToken()
	err = w.Store.CreateToken(t.Context(), &lateen.Token{
		ID: lateen.NewID[lateen.TokenID]("tok_", time.Now()), User: p.User, Name: name, Hash: hash, Scope: scope, Project: project,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.tokens[name] = bearer
}

var placeholder = regexp.MustCompile(`\{\w+(\.\.\.)?\}`)

// denied reports whether a reply refuses the role or the scope of the caller.
func denied(status int, body []byte) bool {
	var reply struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &reply)
	return status == http.StatusForbidden && (reply.Error.Code == "role_too_low" || reply.Error.Code == "scope_too_narrow")
}

// TestAccess requests every route of the API with a token of every scope, as a user
// of every role, and compares the statuses with testdata/access.golden. A change of
// access to a route changes that file; `go test ./internal/api -run 'TestAccess$'
// -update-access` writes it. The calls use missing objects, so an allowed call has
// no effect.
func TestAccess(t *testing.T) {
	w := newWorld(t)
	roles := []lateen.Role{lateen.Owner, lateen.Developer, lateen.Viewer}
	for _, role := range roles {
		w.tokens[string(role)] = w.Member(t, "user-"+strings.ToLower(string(role)), "team", role)
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-7s %-62s %-18s", "method", "path", "permission")
	for _, scope := range lateen.Scopes() {
		fmt.Fprintf(&table, " %-9s", scope)
	}
	table.WriteString("\n")
	for _, row := range api.Rows() {
		fmt.Fprintf(&table, "%-7s %-62s %-18s", row.Method, row.Path, row.Needs)
		if row.Needs == lateen.Anonymous {
			table.WriteString(" every client, without a token\n")
			continue
		}
		path := placeholder.ReplaceAllString(strings.ReplaceAll(row.Path, "{team}", "team"), "nothing")
		for _, scope := range lateen.Scopes() {
			cell := ""
			for _, role := range roles {
				var project lateen.ProjectID
				if scope == lateen.ScopeProject {
					project = lateen.ProjectID(w.names["project"])
				}
				w.token(t, string(role), "probe", scope, project)
				status, body := w.ask(t, "probe", row.Method, path, "{}")
				if status >= 500 {
					t.Errorf("%s %s as %s with %s: %d %s", row.Method, path, role, scope, status, body)
				}
				if !denied(status, body) {
					cell += string(role[0])
				}
			}
			if cell == "" {
				cell = "-"
			}
			fmt.Fprintf(&table, " %-9s", cell)
		}
		table.WriteString("\n")
	}
	var text strings.Builder
	for line := range strings.Lines(table.String()) {
		text.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	const file = "testdata/access.golden"
	if *updateAccess {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("access to the API changed (-want +got):\n%s", diff)
	}
}

// A route without a permission is refused to every caller.
func TestEveryRouteDeclaresItsPermission(t *testing.T) {
	for _, row := range api.Rows() {
		if row.Needs == "" {
			t.Errorf("%s %s declares no permission", row.Method, row.Path)
		}
		if row.Needs != lateen.Anonymous && lateen.Authorize(lateen.Owner, lateen.ScopeFull, row.Needs) != nil {
			t.Errorf("%s %s needs %q, which has no rule", row.Method, row.Path, row.Needs)
		}
	}
}

// A token limited to a project gets 404 for the objects of another project of the
// same team, and lists only the objects of its own project.
func TestATokenOfAProjectReachesNoOtherProject(t *testing.T) {
	w := newWorld(t)
	other, err := w.CreateProject(w.As(t, w.Token), "other", lateen.ProjectSettings{})
	if err != nil {
		t.Fatal(err)
	}
	w.token(t, "owner", "limited", lateen.ScopeProject, other.ID)
	w.names["alias"], w.names["target"] = "shop.localhost", "production"
	const body = `{"key":"K","value":"v","type":"plain","target":["preview"],"alias":"evil.example.com","name":"evil"}`
	asked := 0
	for _, row := range api.Rows() {
		placed := slices.ContainsFunc([]string{"{project}", "{deployment}", "{alias}"}, func(noun string) bool { return strings.Contains(row.Path, noun) })
		if !placed || lateen.Authorize(lateen.Owner, lateen.ScopeProject, row.Needs) != nil {
			continue
		}
		asked++
		if status, got := w.ask(t, "limited", row.Method, row.Path, body); status != http.StatusNotFound {
			t.Errorf("%s %s: %d %.200s", row.Method, row.Path, status, got)
		}
	}
	if asked < 20 {
		t.Errorf("only %d routes were tested", asked)
	}
	w.rows(t, []row{
		{"limited", "GET", "/v9/projects", "", 200, `{"projects":[{"name":"other"}]}`},
		{"limited", "GET", "/v6/deployments", "", 200, `{"deployments":[]}`},
		{"limited", "GET", "/v6/deployments?projectId={project}", "", 200, `{"deployments":[]}`},
		{"limited", "GET", "/v4/aliases", "", 200, `{"aliases":[]}`},
		{"limited", "GET", "/api/logs/request-logs?projectId={project}", "", 404, ``},
		{"limited", "POST", "/v13/deployments", `{"deploymentId":"{deployment}","name":"other"}`, 404, ``},
		{"limited", "POST", "/v13/deployments", `{"name":"shop","files":[{"file":".vercel/output/config.json","data":"{}"}]}`, 404, `{"error":{"code":"project_not_found"}}`},
		{"limited", "POST", "/v13/deployments", `{"name":"new","files":[{"file":".vercel/output/config.json","data":"{}"}]}`, 404, `{"error":{"code":"project_not_found"}}`},
	})
}

func TestTokensHaveScopesAndExpire(t *testing.T) {
	w := newWorld(t)
	future := time.Now().Add(time.Hour).UnixMilli()
	w.rows(t, []row{
		{"owner", "POST", "/v3/user/tokens", `{"name":"ci"}`, 200, `{"token":{"name":"ci","scope":"full"}}`},
		{"owner", "POST", "/v3/user/tokens", `{"name":"ci"}`, 409, `{"error":{"code":"token_taken"}}`},
		{"owner", "POST", "/v3/user/tokens", `{"name":"a","scope":"everything"}`, 400, `{"error":{"code":"token_settings_invalid"}}`},
		{"owner", "POST", "/v3/user/tokens", `{"name":"a","scope":"project"}`, 400, `{"error":{"code":"token_settings_invalid"}}`},
		{"owner", "POST", "/v3/user/tokens", `{"name":"a","scope":"metrics","projectId":"shop"}`, 400, `{"error":{"code":"token_settings_invalid"}}`},
		{"owner", "POST", "/v3/user/tokens", `{"name":"a","projectId":"nowhere"}`, 404, `{"error":{"code":"project_not_found"}}`},
		{"nonmember", "POST", "/v3/user/tokens", `{"name":"a","projectId":"{project}"}`, 404, `{"error":{"code":"project_not_found"}}`},
		{"owner", "POST", "/v3/user/tokens", `{"name":"a","expiresAt":1}`, 400, `{"error":{"code":"token_settings_invalid"}}`},
		{"owner", "POST", "/v3/user/tokens", `{"name":"a","projectId":"shop"}`, 200, `{"token":{"scope":"project","projectId":"{project}"}}`},
		{"owner", "POST", "/v3/user/tokens", fmt.Sprintf(`{"name":"b","scope":"deploy","expiresAt":%d}`, future), 200, fmt.Sprintf(`{"token":{"scope":"deploy","expiresAt":%d}}`, future)},
	})
}
