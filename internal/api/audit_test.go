package api_test

import (
	"crypto/sha1" //nolint:gosec // the upload protocol's name for content
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/store"
)

// auditedCall is a successful call of a route.
type auditedCall struct {
	body    string
	prepare func(w *world, t *testing.T) // sets the names in the path and the body
}

const secretValue = "a-value-that-no-audit-row-has"

func must[T any](t *testing.T, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func invited(email string) func(w *world, t *testing.T) {
	return func(w *world, t *testing.T) {
		t.Helper()
		token, i, err := w.Invite(w.As(t, w.Token), email, lateen.Viewer)
		w.names["secret"], w.names["invitation"] = token, string(must(t, i, err).ID)
	}
}

// auditedCalls are calls by the method and path of their route. The keys are those
// of the route table, so a route without a call fails the test.
func auditedCalls() map[string]auditedCall {
	env := func(w *world, t *testing.T) {
		t.Helper()
		v, err := w.CreateEnv(w.As(t, w.Token), "shop", lateen.EnvVar{
			Key: "AUDITED", Value: secretValue, Type: lateen.EnvEncrypted, Target: []lateen.Environment{"production"},
		}, true)
		w.names["env"] = string(must(t, v, err).ID)
		w.names["target"] = "production"
	}
	alias := func(w *world, t *testing.T) {
		t.Helper()
		a, _, err := w.SetAlias(w.As(t, w.Token), w.names["deployment"], "audited.example.com", "")
		w.names["alias"] = must(t, a, err).Host
	}
	deployment := func(w *world, t *testing.T) {
		t.Helper()
		d, err := w.Store.GetDeployment(t.Context(), lateen.DeploymentID(w.names["shop"]))
		copied := *must(t, d, err)
		copied.ID, copied.State, copied.Host = lateen.NewID[lateen.DeploymentID]("dpl_", time.Now()), lateen.Building, lateen.NewHash(9)+".localhost"
		w.names["deployment"] = string(copied.ID)
		if err := w.Store.CreateDeployment(t.Context(), &copied); err != nil {
			t.Fatal(err)
		}
	}
	project := func(w *world, t *testing.T) {
		t.Helper()
		p, err := w.CreateProject(w.As(t, w.Token), "audited-"+lateen.NewHash(4), lateen.ProjectSettings{})
		w.names["project"] = string(must(t, p, err).ID)
	}
	token := func(w *world, t *testing.T) {
		t.Helper()
		_, made, err := w.CreateToken(w.As(t, w.Token), control.TokenRequest{Name: "made-" + lateen.NewHash(4)})
		w.names["token"] = string(must(t, made, err).ID)
	}
	member := func(w *world, t *testing.T) {
		t.Helper()
		w.names["member"] = "member-" + lateen.NewHash(4)
		w.Member(t, w.names["member"], "team", lateen.Viewer)
	}
	team := func(w *world, t *testing.T) {
		t.Helper()
		m, err := w.CreateTeam(w.As(t, w.Token), "audited-"+lateen.NewHash(4), "")
		w.names["team"] = string(must(t, m, err).ID)
	}
	return map[string]auditedCall{
		"POST /v3/user/tokens":                              {`{"name":"audited"}`, nil},
		"DELETE /v3/user/tokens/{token}":                    {"", token},
		"DELETE /v3/user/tokens/current":                    {"", func(w *world, t *testing.T) { t.Helper(); w.token(t, "owner", "caller", "", "") }},
		"POST /v1/teams":                                    {`{"slug":"audited"}`, nil},
		"PATCH /v2/teams/{team}":                            {`{"name":"Another name"}`, nil},
		"DELETE /v1/teams/{team}":                           {"", team},
		"POST /v2/teams/{team}/members":                     {`{"email":"bob@example.com","role":"VIEWER"}`, nil},
		"PATCH /v1/teams/{team}/members/{member}":           {`{"role":"DEVELOPER"}`, member},
		"DELETE /v1/teams/{team}/members/{member}":          {"", member},
		"DELETE /v1/teams/{team}/invitations/{invitation}":  {"", invited("ann@example.com")},
		"POST /v1/invitations/accept":                       {`{"invitation":"{secret}"}`, invited("joe@example.com")},
		"POST /v1/invitations/join":                         {`{"invitation":"{secret}"}`, invited("owner@example.com")},
		"POST /v9/projects":                                 {`{"name":"audited"}`, nil},
		"PATCH /v9/projects/{project}":                      {`{"buildCommand":"make"}`, nil},
		"DELETE /v9/projects/{project}":                     {"", project},
		"POST /v10/projects/{project}/env":                  {`{"key":"NEW","value":"` + secretValue + `","target":"preview"}`, nil},
		"PATCH /v10/projects/{project}/env/{env}":           {`{"value":"` + secretValue + `"}`, env},
		"DELETE /v10/projects/{project}/env/{env}":          {"", env},
		"GET /v3/env/pull/{project}/{target}":               {"", env},
		"GET /v3/env/pull/{deployment}":                     {"", env},
		"POST /v13/deployments":                             {`{"deploymentId":"{deployment}","name":"shop"}`, nil},
		"DELETE /v13/deployments/{deployment}":              {"", deployment},
		"PATCH /v12/deployments/{deployment}/cancel":        {"", deployment},
		"POST /v2/deployments/{deployment}/aliases":         {`{"alias":"www.example.com"}`, nil},
		"DELETE /v2/aliases/{alias}":                        {"", alias},
		"POST /v10/projects/{project}/promote/{deployment}": {`{}`, nil},
		"POST /v9/projects/{project}/rollback/{deployment}": {`{}`, nil},
		"POST /v1/edge-cache/purge-all":                     {"", nil},
		"DELETE /v1/data-cache/purge-all":                   {"", nil},
		"POST /v1/edge-cache/invalidate-by-tags":            {`{"tags":"a, b"}`, nil},
		"POST /v1/edge-cache/dangerously-delete-by-tags":    {`{"tags":["a"],"revalidationDeadlineSeconds":60}`, nil},
	}
}

// auditRows returns all rows of the audit logs of the owner's teams.
func (w *world) auditRows(t *testing.T, more lateen.TeamID) map[lateen.AuditID]lateen.AuditEvent {
	t.Helper()
	p, err := w.Authenticate(t.Context(), w.Token, "")
	teams, listErr := w.Store.ListTeams(t.Context(), must(t, p, err).User)
	ids := []lateen.TeamID{more}
	for _, team := range must(t, teams, listErr) {
		ids = append(ids, team.ID)
	}
	rows := map[lateen.AuditID]lateen.AuditEvent{}
	for _, id := range ids {
		list, err := w.Store.ListAudit(t.Context(), store.AuditFilter{Team: id})
		for _, e := range must(t, list, err) {
			rows[e.ID] = e
		}
	}
	return rows
}

// TestEveryChangeIsAudited calls every route that changes something or reads
// secrets, and expects one new row in the audit log for each.
func TestEveryChangeIsAudited(t *testing.T) {
	w := newWorld(t)
	calls := auditedCalls()
	w.names["shop"] = w.names["deployment"]
	original := map[string]string{"project": w.names["project"], "deployment": w.names["deployment"], "team": w.names["team"]}
	for _, row := range api.Rows() {
		key := row.Method + " " + row.Path
		switch {
		case row.Audit == "" && (row.Method == http.MethodGet || key == "POST /v2/files"):
			continue
		case row.Audit == "":
			t.Errorf("%s changes something and declares no action of the audit log", key)
			continue
		}
		if !slices.Contains(lateen.Actions(), row.Audit) {
			t.Errorf("%s is audited as %s, which is not in the list of actions", key, row.Audit)
		}
		c, known := calls[key]
		if !known {
			t.Errorf("%s is audited and has no call in this test", key)
			continue
		}
		maps.Copy(w.names, original)
		w.tokens["caller"] = w.Token
		if c.prepare != nil {
			c.prepare(w, t)
		}
		team := lateen.TeamID(w.names["team"])
		before := w.auditRows(t, team)
		target := row.Path
		if row.Query == "projectIdOrName" {
			target += "?projectIdOrName=shop"
		}
		status, body := w.ask(t, "caller", row.Method, target, c.body)
		if status >= 300 {
			t.Errorf("%s: %d %s", key, status, body)
			continue
		}
		var added []lateen.AuditEvent
		for id, e := range w.auditRows(t, team) {
			if _, there := before[id]; !there {
				added = append(added, e)
			}
		}
		want := 1
		if row.Audit == lateen.ActionTeamCreate || row.Audit == lateen.ActionTeamDelete {
			want = 2 // of the team itself, and of the first team
		}
		if len(added) != want || added[0].Action != row.Audit || added[want-1].Action != row.Audit {
			t.Errorf("%s appended the rows %+v, want %d of the action %s", key, added, want, row.Audit)
			continue
		}
		e := added[0]
		if e.User == "" || e.Username == "" || e.Target == "" || e.Client != "127.0.0.1" || e.Request == "" || e.Token == "" || e.TokenName == "" {
			t.Errorf("%s appended %+v, with fields that are empty", key, e)
		}
	}
}

// A row of the audit log contains neither the value of a variable nor the secret of
// a token or an invitation.
func TestTheAuditLogHoldsNoSecret(t *testing.T) {
	w := newWorld(t)
	w.rows(t, []row{
		{"owner", "POST", "/v10/projects/shop/env", `{"key":"NEW","value":"` + secretValue + `","target":"preview"}`, 201, ``},
		{"owner", "GET", "/v10/projects/shop/env?decrypt=true&target=preview", "", 200, `{"envs":[{"value":"` + secretValue + `"}]}`},
		{"owner", "GET", "/v10/projects/shop/env?target=preview", "", 200, `{"envs":[{"value":""}]}`},
		{"owner", "POST", "/v3/user/tokens", `{"name":"ci"}`, 200, ``},
		{"owner", "POST", "/v2/teams/team/members", `{"email":"bob@example.com"}`, 200, ``},
		{"viewer", "GET", "/v10/projects/shop/env?decrypt=true&target=preview", "", 200, `{"envs":[{"value":"","decrypted":false}]}`},
		{"owner", "GET", "/v3/events?types=env.read", "", 200, `{"events":[{"type":"env.read","username":"owner","projectName":"shop","target":"NEW","principal":{"username":"owner"}}]}`},
		{"viewer", "GET", "/v3/events", "", 403, `{"error":{"code":"role_too_low"}}`},
		{"nonmember", "GET", "/v3/events?teamId={team}", "", 404, ``},
		{"owner", "GET", "/v3/events?cursor=x", "", 400, ``},
	})
	_, body := w.ask(t, "owner", "GET", "/v3/events?limit=100", "")
	for _, secret := range []string{secretValue, "ltn_", lateen.InvitationPrefix} {
		if strings.Contains(string(body), secret) {
			t.Errorf("the audit log holds %q: %s", secret, body)
		}
	}
}

// Pages of the audit log neither repeat nor miss a row.
func TestTheAuditLogComesInPages(t *testing.T) {
	w := newWorld(t)
	for range 7 {
		w.rows(t, []row{{"owner", "PATCH", "/v9/projects/shop", `{"buildCommand":"make"}`, 200, ``}})
	}
	seen := map[string]bool{}
	for cursor := ""; ; {
		_, body := w.ask(t, "owner", "GET", "/v3/events?types=project.update&limit=3&cursor="+cursor, "")
		var page struct {
			Events []struct {
				ID string `json:"id"`
			} `json:"events"`
			Pagination struct {
				Next string `json:"next"`
			} `json:"pagination"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if seen[e.ID] {
				t.Errorf("%s is on two pages", e.ID)
			}
			seen[e.ID] = true
		}
		if cursor = page.Pagination.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 7 {
		t.Errorf("the pages have %d rows, want 7", len(seen))
	}
}

func TestAFileUploadIsNotAudited(t *testing.T) {
	w := newWorld(t)
	before := len(w.auditRows(t, ""))
	sum := sha1.Sum([]byte("x")) //nolint:gosec // see the import
	ctx := w.As(t, w.Token)
	if err := w.Upload(ctx, lateen.SHA1(hex.EncodeToString(sum[:])), 1, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if after := len(w.auditRows(t, "")); after != before {
		t.Errorf("an upload appended %d rows; the row of its deployment stands for it", after-before)
	}
}
