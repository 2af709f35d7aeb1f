package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// large is the number of rows of the growing tables, except events. At this size, a
// database with statistics never prefers a full scan.
const large = 20_000

// largeTables returns statements that fill the tables of a store with user, team and
// project, in SQL for both databases.
func largeTables() []string {
	numbers := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, large)
	return []string{
		`INSERT INTO projects (id, team_id, name, qualified_name, created_at, updated_at, settings, pinned, alias_request)
			` + numbers + `SELECT 'prj_n' || i, 'team_1', 'site' || i, 'team_1/site' || i, i, i, '{}', false, 'null' FROM n`,
		`INSERT INTO deployments (id, project_id, team_id, name, host, target, source, creator_id, state, error_reason,
			error_text, created_at, building_at, ready_at, aliased_at, meta, git, branch, skip_aliases, manifest, files)
			` + numbers + `SELECT 'dpl_n' || i, 'prj_1', 'team_1', 'site', i || '.example.com', 'production', '', 'usr_1',
			CASE WHEN i % 10 = 0 THEN 'ERROR' ELSE 'READY' END, '', '', i, i, i, i, '{}', 'null', 'branch' || (i % 100), false, 'm' || i, 'f' || i FROM n`,
		`INSERT INTO deployment_meta (deployment_id, key, value) ` + numbers + `SELECT 'dpl_n' || i, 'sha', 'v' || i FROM n`,
		`INSERT INTO deployment_events (deployment_id, serial, type, created_at, text, level, info)
			` + numbers + `SELECT 'dpl_n' || i, s, 'stdout', i, 'line', '', 'null' FROM n, (SELECT 1 AS s UNION SELECT 2) AS serials`,
		`INSERT INTO aliases (id, host, project_id, team_id, deployment_id, automatic, creator_id, created_at, updated_at)
			` + numbers + `SELECT 'als_n' || i, 'a' || i || '.example.com', 'prj_1', 'team_1', 'dpl_n' || i, false, '', i, i FROM n`,
		`INSERT INTO uploads (team_id, sha1, digest, size, created_at) ` + numbers + `SELECT 'team_1', 'sha' || i, 'd' || i, 1, i FROM n`,
		`INSERT INTO env_vars (id, project_id, key, value, type, git_branch, comment, created_at, updated_at)
			` + numbers + `SELECT 'env_n' || i, 'prj_n' || i, 'KEY', 'x', 'plain', '', '', i, i FROM n`,
		`INSERT INTO env_targets (env_id, position, project_id, key, target, git_branch)
			` + numbers + `SELECT 'env_n' || i, 0, 'prj_n' || i, 'KEY', 'production', '' FROM n`,
		`INSERT INTO holdings (team_id, digest, size, created_at) ` + numbers + `SELECT 'team_1', 'd' || i, 1, i FROM n`,
		`INSERT INTO sweep_candidates (kind, name, noted_at) ` + numbers + `SELECT 'content', 'd' || i, i FROM n`,
		`INSERT INTO audit_events (id, team_id, created_at, user_id, username, token_id, token_name, project_id, project_name,
			action, target, client_ip, request_id)
			` + numbers + `SELECT 'aud_n' || i, 'team_1', i, 'usr_' || (i % 100), 'user-' || (i % 100), '', '', 'prj_n' || i, 'site-' || (i % 100), 'env.read', '', '', '' FROM n`,
		`INSERT INTO usage_hours (project_id, hour, deployment_id, function, team_id, starting_time, starting_memory, starting_cpu,
			busy_time, busy_memory, busy_cpu, idle_time, idle_memory, idle_cpu, frozen_time, frozen_memory, frozen_cpu)
			` + numbers + `SELECT 'prj_n' || (i % 100), i, 'dpl_n' || i, '/fn', 'team_' || (i % 50), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 FROM n`,
		`INSERT INTO usage_writers (id, serial, written_at) ` + numbers + `SELECT 'w' || i, 1, i FROM n`,
		`ANALYZE`,
	}
}

// call is a call of a method of [store.Queries].
type call func(ctx context.Context, q *store.Queries) error

// planned is a call whose query plans are checked.
type planned struct {
	method string
	call   call
	whole  string // reason for a full scan of a growing table; "": no full scan
}

func ignore[T any](_ T, err error) error { return err }

// calls, [sweepCalls] and [accessCalls] cover every method of [store.Queries], some
// repeatedly, in an executable order.
func calls() []planned {
	d := newDeployment("dpl_1", 1)
	d.Meta = map[string]string{"a": "b"}
	env := &lateen.EnvVar{ID: "env_1", Project: project, Key: "K", Target: []lateen.Environment{"production"}}
	row := &lateen.Project{ID: "prj_2", Team: team, Name: "other", CreatedAt: 1}
	alias := &lateen.Alias{ID: "als_1", Host: "www.example.com", Project: project, Team: team, Deployment: "dpl_1"}
	list := func(f store.DeploymentFilter) call {
		return func(ctx context.Context, q *store.Queries) error { return ignore(q.ListDeployments(ctx, f)) }
	}
	aliases := func(f store.AliasFilter) call {
		return func(ctx context.Context, q *store.Queries) error { return ignore(q.ListAliases(ctx, f)) }
	}
	type c = context.Context
	type q = *store.Queries
	return []planned{
		{"CreateUser", func(c c, q q) error { return q.CreateUser(c, &lateen.User{ID: "usr_2", Username: "bob"}) }, ""},
		{"GetUser", func(c c, q q) error { return ignore(q.GetUser(c, user)) }, ""},
		{"GetUserByName", func(c c, q q) error { return ignore(q.GetUserByName(c, "ada")) }, ""},
		{"CreateTeam", func(c c, q q) error { return q.CreateTeam(c, &lateen.Team{ID: "team_2", Slug: "two"}) }, ""},
		{"GetTeam", func(c c, q q) error { return ignore(q.GetTeam(c, "team")) }, ""},
		{"PutMember", func(c c, q q) error { return q.PutMember(c, lateen.Member{Team: team, User: user, Role: lateen.Owner}) }, ""},
		{"GetMember", func(c c, q q) error { return ignore(q.GetMember(c, team, user)) }, ""},
		{"ListMembers", func(c c, q q) error { return ignore(q.ListMembers(c, team)) }, ""},
		{"ListTeams", func(c c, q q) error { return ignore(q.ListTeams(c, user)) }, ""},
		{"CreateToken", func(c c, q q) error { return q.CreateToken(c, &lateen.Token{ID: "tok_1", User: user, Hash: "hash"}) }, ""},
		{"GetTokenByHash", func(c c, q q) error { return ignore(q.GetTokenByHash(c, "hash")) }, ""},
		{"ListTokens", func(c c, q q) error { return ignore(q.ListTokens(c, user)) }, ""},
		{"TouchToken", func(c c, q q) error { return q.TouchToken(c, "tok_1", 1) }, ""},
		{"DeleteToken", func(c c, q q) error { return q.DeleteToken(c, user, "tok_1") }, ""},
		{"PutSetting", func(c c, q q) error { return q.PutSetting(c, "k", "v") }, ""},
		{"GetSetting", func(c c, q q) error { _, _, err := q.GetSetting(c, "k"); return err }, ""},
		{"CreateProject", func(c c, q q) error { return q.CreateProject(c, row) }, ""},
		{"GetProject", func(c c, q q) error { return ignore(q.GetProject(c, team, "site7")) }, ""},
		{"FindProject", func(c c, q q) error { return ignore(q.FindProject(c, "prj_n7")) }, ""},
		{"ListProjects", func(c c, q q) error {
			return ignore(q.ListProjects(c, store.ProjectFilter{Team: team, Search: "site77", Limit: 20}))
		}, "a search reads the names of all projects of a team"},
		{"ListProjects", func(c c, q q) error {
			return ignore(q.ListProjects(c, store.ProjectFilter{Team: team, Until: 50, Limit: 20}))
		}, ""},
		{"UpdateProject", func(c c, q q) error { return q.UpdateProject(c, row) }, ""},
		{"CreateEnv", func(c c, q q) error { return q.CreateEnv(c, env) }, ""},
		{"GetEnv", func(c c, q q) error { return ignore(q.GetEnv(c, project, "env_1")) }, ""},
		{"ListEnv", func(c c, q q) error { return ignore(q.ListEnv(c, project)) }, ""},
		{"UpdateEnv", func(c c, q q) error { return q.UpdateEnv(c, env) }, ""},
		{"DeleteEnv", func(c c, q q) error { return q.DeleteEnv(c, project, "env_1") }, ""},
		{"CreateDeployment", func(c c, q q) error { return q.CreateDeployment(c, d) }, ""},
		{"ListDeploymentIDs", func(c c, q q) error { return ignore(q.ListDeploymentIDs(c, project)) }, ""},
		{"ListTargets", func(c c, q q) error { return ignore(q.ListTargets(c, project)) }, ""},
		{"LastCreated", func(c c, q q) error { return ignore(q.LastCreated(c, project)) }, ""},
		{"UpdateDeployment", func(c c, q q) error { return q.UpdateDeployment(c, d) }, ""},
		{"GetDeployment", func(c c, q q) error { return ignore(q.GetDeployment(c, "dpl_1")) }, ""},
		{"FindDeployment", func(c c, q q) error { return ignore(q.FindDeployment(c, team, "7.example.com")) }, ""},
		{"GetDeploymentByHost", func(c c, q q) error { return ignore(q.GetDeploymentByHost(c, "7.example.com")) }, ""},
		{"ListDeployments", list(store.DeploymentFilter{Team: team, Limit: 20}), ""},
		{"ListDeployments", list(store.DeploymentFilter{Team: team, Until: 50, Since: 10, Limit: 20}), ""},
		{"ListDeployments", list(store.DeploymentFilter{Team: team, Project: project, Target: "preview", Limit: 20}), ""},
		{"ListDeployments", list(store.DeploymentFilter{Team: team, States: []lateen.ReadyState{lateen.Queued}, Limit: 20}), ""},
		{"ListDeployments", list(store.DeploymentFilter{Team: team, States: []lateen.ReadyState{lateen.Ready, lateen.Canceled}, Limit: 20}), ""},
		{"ListDeployments", list(store.DeploymentFilter{Project: project, States: []lateen.ReadyState{lateen.Building}, Limit: 20}), ""},
		{"ListDeployments", list(store.DeploymentFilter{Project: project, Branch: "none", Limit: 20}), ""},
		{"ListDeployments", list(store.DeploymentFilter{Team: team, Meta: map[string]string{"sha": "v7"}, Limit: 20}), ""},
		{"ListDeploymentHosts", func(c c, q q) error { return ignore(q.ListDeploymentHosts(c, project, 50)) }, ""},
		{"ListUnfinished", func(c c, q q) error { return ignore(q.ListUnfinished(c)) }, ""},
		{"ListUnsettled", func(c c, q q) error { return ignore(q.ListUnsettled(c, "", 100)) }, ""},
		{"ListHosts", func(c c, q q) error { return ignore(q.ListHosts(c)) }, "a start reads where every host leads"},
		{"ListProductions", func(c c, q q) error { return ignore(q.ListProductions(c)) }, "a start reads the production deployment of every project"},
		{"ListRoots", func(c c, q q) error { return ignore(q.ListRoots(c)) }, "a sweep reads what every deployment keeps"},
		{"AppendBuildLog", func(c c, q q) error { return q.AppendBuildLog(c, "dpl_1", []lateen.BuildLogLine{{Type: "stdout"}}) }, ""},
		{"ListBuildLog", func(c c, q q) error { return ignore(q.ListBuildLog(c, "dpl_1", 0, 10)) }, ""},
		{"ListBuildLog", func(c c, q q) error { return ignore(q.ListBuildLog(c, "dpl_1", 0, 0)) }, ""},
		{"PutAlias", func(c c, q q) error { return ignore(q.PutAlias(c, alias)) }, ""},
		{"PutAlias", func(c c, q q) error { return ignore(q.PutAlias(c, alias)) }, ""},
		{"GetAlias", func(c c, q q) error { return ignore(q.GetAlias(c, "www.example.com")) }, ""},
		{"ListAliases", aliases(store.AliasFilter{Team: team, Limit: 20}), ""},
		{"ListAliases", aliases(store.AliasFilter{Project: project, Until: 9, Limit: 20}), ""},
		{"ListAliases", aliases(store.AliasFilter{Deployment: "dpl_1"}), ""},
		{"DeleteAlias", func(c c, q q) error { return q.DeleteAlias(c, "als_1") }, ""},
		{"PutUpload", func(c c, q q) error { return q.PutUpload(c, store.Upload{Team: team, SHA1: "s", Digest: "d"}) }, ""},
		{"FindUploads", func(c c, q q) error { return ignore(q.FindUploads(c, team, []lateen.SHA1{"s", "t"})) }, ""},
		{"ListUploadDigests", func(c c, q q) error { return ignore(q.ListUploadDigests(c)) }, "a sweep reads what every upload keeps"},
		{"DeleteUploads", func(c c, q q) error { return ignore(q.DeleteUploads(c, 1)) }, ""},
		{"DeleteDeployment", func(c c, q q) error { return q.DeleteDeployment(c, "dpl_1") }, ""},
		{"DeleteProject", func(c c, q q) error { return q.DeleteProject(c, "prj_2") }, ""},
	}
}

// sweepCalls are the calls made only by sweeps, scrubs and starts.
func sweepCalls() []planned {
	type c = context.Context
	type q = *store.Queries
	blobs := []lateen.Blob{{Digest: "d1", Size: 1}, {Digest: "e1", Size: 1}}
	return []planned{
		{"NoteCandidates", func(c c, q q) error { return q.NoteCandidates(c, store.SweepContent, []string{"d1", "e1"}, 1) }, ""},
		{"NoteDeployment", func(c c, q q) error { return q.NoteDeployment(c, "dpl_n7", 1) }, ""},
		{"ListCandidates", func(c c, q q) error { return ignore(q.ListCandidates(c, store.SweepManifest, 50, 10)) }, ""},
		{"ListCandidates", func(c c, q q) error { return ignore(q.ListCandidates(c, "", 50, 10)) }, "a sweep looks at every candidate"},
		{"AppendEvents", func(c c, q q) error { return q.AppendEvents(c, []lateen.Event{{Type: lateen.HostUnbound}}) }, ""},
		{"TakeLease", func(c c, q q) error { return ignore(q.TakeLease(c, "dpl_1", store.Lease{}, "a")) }, ""},
		{"RenewLease", func(c c, q q) error { return ignore(q.RenewLease(c, "dpl_1", "a")) }, ""},
		{"LeaseOwner", func(c c, q q) error { return ignore(q.LeaseOwner(c, "dpl_n7")) }, ""},
		{"EndLease", func(c c, q q) error { return q.EndLease(c, "dpl_1", "a") }, ""},
		{"LastEvent", func(c c, q q) error { return ignore(q.LastEvent(c)) }, ""},
		{"ListEvents", func(c c, q q) error { return ignore(q.ListEvents(c, 0, 10)) }, ""},
		{"DeleteEvents", func(c c, q q) error { return ignore(q.DeleteEvents(c, 5, 1, 10)) }, ""},
		{"DeleteCandidates", func(c c, q q) error {
			return q.DeleteCandidates(c, []store.Candidate{{Kind: store.SweepContent, Name: "d1"}})
		}, ""},
		{"PutHoldings", func(c c, q q) error { return ignore(q.PutHoldings(c, team, blobs, 1)) }, ""},
		{"SumHoldings", func(c c, q q) error { return ignore(q.SumHoldings(c, team)) }, "it adds up all content of a team, and control keeps the sum"},
		{"ListHoldings", func(c c, q q) error { return ignore(q.ListHoldings(c, 50)) }, "a sweep reads the content of every team"},
		{"DeleteHoldings", func(c c, q q) error { return q.DeleteHoldings(c, []lateen.Digest{"d1"}, 50) }, "a sweep reads the table once for a thousand digests"},
		{"ListHolders", func(c c, q q) error { return ignore(q.ListHolders(c)) }, "a scrub reads what every deployment needs"},
		{"FindSealed", func(c c, q q) error { _, _, err := q.FindSealed(c); return err }, "a start reads it once, in a store of an earlier version"},
		{"HasEnv", func(c c, q q) error { return ignore(q.HasEnv(c)) }, "one row ends it"},
		{"AddUsage", func(c c, q q) error {
			return q.AddUsage(c, store.UsageBatch{Writer: "w", Serial: 1, Rows: []lateen.UsageHour{usageOf(project, "dpl_1", "/a", 1)}})
		}, ""},
		{"ListUsage", func(c c, q q) error {
			return ignore(q.ListUsage(c, store.UsageFilter{Team: "team_7", Since: 5, Until: 50}))
		}, ""},
		{"ListUsage", func(c c, q q) error {
			return ignore(q.ListUsage(c, store.UsageFilter{Team: "team_7", Project: "prj_n7", Since: 5, Until: 50}))
		}, ""},
		{"ExpireUsage", func(c c, q q) error { return ignore(q.ExpireUsage(c, 5)) }, ""},
		{"ExpireAudit", func(c c, q q) error { return ignore(q.ExpireAudit(c, 5)) }, ""},
	}
}

// accessCalls are the calls for members, invitations and the audit log.
func accessCalls() []planned {
	type c = context.Context
	type q = *store.Queries
	invitation := &lateen.Invitation{ID: "inv_1", Team: team, Hash: "hash"}
	audit := func(f store.AuditFilter) call {
		f.Team, f.Limit = team, 20
		return func(ctx context.Context, q *store.Queries) error { return ignore(q.ListAudit(ctx, f)) }
	}
	return []planned{
		{"FirstTeam", func(c c, q q) error { return ignore(q.FirstTeam(c)) }, ""},
		{"RenameTeam", func(c c, q q) error { return q.RenameTeam(c, team, "renamed") }, ""},
		{"CreateInvitation", func(c c, q q) error { return q.CreateInvitation(c, invitation) }, ""},
		{"GetInvitationByHash", func(c c, q q) error { return ignore(q.GetInvitationByHash(c, "hash")) }, ""},
		{"ListInvitations", func(c c, q q) error { return ignore(q.ListInvitations(c, team)) }, ""},
		{"DeleteInvitation", func(c c, q q) error { return q.DeleteInvitation(c, team, "inv_1") }, ""},
		{"DeleteMember", func(c c, q q) error { return q.DeleteMember(c, team, user) }, ""},
		{"AppendAudit", func(c c, q q) error {
			return q.AppendAudit(c, &lateen.AuditEvent{ID: "aud_1", Team: team, User: user, Project: project})
		}, ""},
		{"ListAudit", audit(store.AuditFilter{}), ""},
		{"ListAudit", audit(store.AuditFilter{Since: 5, Until: 50, Before: store.AuditCursor{CreatedAt: 40, ID: "aud_n40"}}), ""},
		{"ListAudit", audit(store.AuditFilter{Projects: []lateen.ProjectID{"prj_n7"}}), ""},
		{"ListAudit", audit(store.AuditFilter{Projects: []lateen.ProjectID{"site-7"}}), ""},
		{"ListAudit", audit(store.AuditFilter{Users: []lateen.UserID{"user-7"}}), ""},
		{"ListAudit", audit(store.AuditFilter{Users: []lateen.UserID{"usr_7"}, Actions: []lateen.Action{lateen.ActionEnvRead}}), ""},
		{"DeleteTeam", func(c c, q q) error { return q.DeleteTeam(c, "team_2") }, ""},
	}
}

// Plans checks that no statement of the store scans a growing table completely, on
// large tables with statistics. explain returns the plan of a statement and, if the
// database tells, of the statements that its foreign keys cause; scans returns the
// tables that a plan scans completely.
//
// A request for a metadata value that no deployment has reads no deployment, even
// without statistics.
func Plans(t *testing.T, s *store.Store, db *sql.DB, explain string, scans func(plan string) []string) {
	ctx := t.Context()
	seed(t, s)
	for _, statement := range largeTables() {
		_, err := db.ExecContext(ctx, statement)
		check(t, err)
	}
	type statement struct {
		text string
		args []any
	}
	var made []statement
	s.Trace(func(text string, args []any) { made = append(made, statement{text, args}) })
	_, err := s.ListDeployments(ctx, store.DeploymentFilter{Team: team, Meta: map[string]string{"sha": "none"}, Limit: 20})
	check(t, err)
	for _, m := range made {
		if strings.Contains(m.text, "FROM deployments ") {
			t.Errorf("deployments are read for a metadata value that none has:\n%s", m.text)
		}
	}
	covered := map[string]bool{}
	for _, c := range slices.Concat(calls(), sweepCalls(), accessCalls()) {
		covered[c.method] = true
		made = nil
		check(t, c.call(ctx, s.Queries))
		if len(made) == 0 {
			t.Errorf("%s makes no statement", c.method)
		}
		for _, m := range made {
			plan := planOf(t, db, explain+m.text, m.args)
			whole := scans(plan)
			if len(whole) > 0 && c.whole == "" {
				t.Errorf("%s reads %s whole:\n%s\n%s", c.method, strings.Join(whole, ", "), m.text, plan)
			}
		}
	}
	for method := range reflect.TypeFor[*store.Queries]().Methods() {
		if !covered[method.Name] {
			t.Errorf("the plan of %s is not looked at: add it to calls", method.Name)
		}
	}
}

func planOf(t *testing.T, db *sql.DB, query string, args []any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	check(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	check(t, err)
	var plan strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		check(t, rows.Scan(values...))
		fmt.Fprintln(&plan, *values[len(values)-1].(*any)) //nolint:forcetypeassert // created above
	}
	check(t, rows.Err())
	return plan.String()
}

// Growing returns the tables that grow with the users' activity.
func Growing() []string {
	return []string{
		"projects", "deployments", "deployment_meta", "deployment_events", "aliases", "uploads", "env_vars", "env_targets",
		"holdings", "sweep_candidates", "audit_events", "usage_hours", "usage_writers",
	}
}
