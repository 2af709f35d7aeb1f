package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testDeployment(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	d := newDeployment("dpl_1", 5)
	d.Source, d.SkipAliases, d.Env = "cli", true, []byte("\x00\xff sealed")
	d.Meta, d.Git = map[string]string{"a": "b", "c": ""}, &lateen.GitMetadata{CommitRef: "main", Dirty: true}
	check(t, s.CreateDeployment(ctx, d))
	wantResult(t, d)(s.GetDeployment(ctx, "dpl_1"))
	wantResult(t, d)(s.FindDeployment(ctx, team, "dpl_1"))
	wantResult(t, d)(s.FindDeployment(ctx, team, "dpl_1.example.com"))
	_, err := s.FindDeployment(ctx, "team_2", "dpl_1")
	wantError(t, err, lateen.ErrDeploymentNotFound)
	_, err = s.GetDeployment(ctx, "dpl_2")
	wantError(t, err, lateen.ErrDeploymentNotFound)

	twin := newDeployment("dpl_2", 6)
	twin.Host = d.Host
	wantError(t, s.CreateDeployment(ctx, twin), lateen.ErrDeploymentTaken)
	orphan := newDeployment("dpl_3", 6)
	orphan.Project = "prj_2"
	wantError(t, s.CreateDeployment(ctx, orphan), lateen.ErrProjectNotFound)

	d.State, d.ErrorReason, d.ErrorText = lateen.Ready, "reason", "text"
	d.BuildingAt, d.ReadyAt, d.AliasedAt, d.ServedAt, d.SkipAliases = 6, 7, 8, 9, false
	d.Manifest, d.Files, d.Target = lateen.DigestOf([]byte("m")), lateen.DigestOf([]byte("f")), lateen.Production
	d.Meta, d.Git = map[string]string{"a": "z"}, nil
	env := d.Env
	d.Env = nil // as in a list
	check(t, s.UpdateDeployment(ctx, d))
	d.Env = env
	wantResult(t, d)(s.GetDeployment(ctx, "dpl_1"))
	wantError(t, s.UpdateDeployment(ctx, newDeployment("dpl_4", 1)), lateen.ErrDeploymentNotFound)
}

func testDeploymentList(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateProject(ctx, &lateen.Project{ID: "prj_2", Team: team, Name: "second"}))
	for _, d := range []*lateen.Deployment{
		{ID: "dpl_1", CreatedAt: 1, State: lateen.Ready, Target: lateen.Production, Creator: "usr_1", Env: []byte("secret")},
		{ID: "dpl_2", CreatedAt: 2, State: lateen.Failed, Target: lateen.Preview, Creator: "usr_2", Meta: map[string]string{"a": "1", "b": "2"}},
		{ID: "dpl_3", CreatedAt: 3, State: lateen.Ready, Target: lateen.Preview, Creator: "usr_3", Meta: map[string]string{"a": "1"}},
		{ID: "dpl_4", CreatedAt: 4, State: lateen.Queued, Target: lateen.Preview, Git: &lateen.GitMetadata{CommitRef: "main"}, Project: "prj_2"},
	} {
		d.Team, d.Host = team, string(d.ID)
		if d.Project == "" {
			d.Project, d.Name = project, "site"
		}
		check(t, s.CreateDeployment(ctx, d))
	}
	for _, c := range []struct {
		filter store.DeploymentFilter
		want   []lateen.DeploymentID
	}{
		{store.DeploymentFilter{}, []lateen.DeploymentID{"dpl_4", "dpl_3", "dpl_2", "dpl_1"}},
		{store.DeploymentFilter{Team: "team_2"}, nil},
		{store.DeploymentFilter{Team: team, Project: "prj_2"}, []lateen.DeploymentID{"dpl_4"}},
		{store.DeploymentFilter{App: "site", Limit: 1}, []lateen.DeploymentID{"dpl_3"}},
		{store.DeploymentFilter{States: []lateen.ReadyState{lateen.Failed, lateen.Queued}}, []lateen.DeploymentID{"dpl_4", "dpl_2"}},
		{store.DeploymentFilter{Target: lateen.Production}, []lateen.DeploymentID{"dpl_1"}},
		{store.DeploymentFilter{Branch: "main"}, []lateen.DeploymentID{"dpl_4"}},
		{store.DeploymentFilter{Users: []lateen.UserID{"usr_2", "usr_3"}}, []lateen.DeploymentID{"dpl_3", "dpl_2"}},
		{store.DeploymentFilter{Meta: map[string]string{"a": "1"}}, []lateen.DeploymentID{"dpl_3", "dpl_2"}},
		{store.DeploymentFilter{Meta: map[string]string{"a": "1", "b": "2"}}, []lateen.DeploymentID{"dpl_2"}},
		{store.DeploymentFilter{Meta: map[string]string{"a": "2"}}, nil},
		{store.DeploymentFilter{Meta: map[string]string{"a' OR '1": "?"}}, nil},
		{store.DeploymentFilter{Since: 2, Until: 4}, []lateen.DeploymentID{"dpl_3", "dpl_2"}},
	} {
		wantResult(t, c.want)(ids(func(d *lateen.Deployment) lateen.DeploymentID { return d.ID })(s.ListDeployments(ctx, c.filter)))
	}
	listed, err := s.ListDeployments(ctx, store.DeploymentFilter{Until: 2})
	check(t, err)
	if listed[0].Env != nil {
		t.Error("a list carries the environment")
	}
}

func testDeploymentDelete(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	d := newDeployment("dpl_1", 1)
	d.Meta = map[string]string{"a": "b"}
	check(t, s.CreateDeployment(ctx, d))
	check(t, s.AppendBuildLog(ctx, "dpl_1", []lateen.BuildLogLine{{Type: "stdout"}}))
	_, err := s.PutAlias(ctx, &lateen.Alias{ID: "als_1", Host: "a.example.com", Project: project, Team: team, Deployment: "dpl_1"})
	check(t, err)
	check(t, s.UpdateProject(ctx, &lateen.Project{ID: project, Name: "site", Production: "dpl_1"}))

	check(t, s.DeleteDeployment(ctx, "dpl_1"))
	_, err = s.GetAlias(ctx, "a.example.com")
	wantError(t, err, lateen.ErrAliasNotFound)
	wantResult(t, []lateen.BuildLogLine(nil))(s.ListBuildLog(ctx, "dpl_1", 0, 0))
	p, err := s.FindProject(ctx, project)
	check(t, err)
	if p.Production != "" {
		t.Errorf("production is %s, which is gone", p.Production)
	}
	wantError(t, s.DeleteDeployment(ctx, "dpl_1"), lateen.ErrDeploymentNotFound)
	wantError(t, s.UpdateProject(ctx, &lateen.Project{ID: project, Name: "site", Production: "dpl_1"}), lateen.ErrDeploymentNotFound)
}

func testHostsAndRoots(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	for id, state := range map[lateen.DeploymentID]lateen.ReadyState{"dpl_1": lateen.Ready, "dpl_2": lateen.Building, "dpl_3": lateen.Ready} {
		d := newDeployment(id, 1)
		d.State, d.Files = state, "files"
		if state == lateen.Ready {
			d.Manifest = "manifest"
		}
		check(t, s.CreateDeployment(ctx, d))
		wantResult(t, []lateen.Environment{lateen.Preview})(s.ListTargets(ctx, project))
		_, err := s.PutAlias(ctx, &lateen.Alias{ID: lateen.AliasID(id), Host: string(id) + ".alias", Project: project, Team: team, Deployment: id})
		check(t, err)
	}
	wantResult(t, []lateen.DeploymentID{"dpl_1", "dpl_2", "dpl_3"})(s.ListDeploymentIDs(ctx, project))
	wantResult(t, lateen.Millis(1))(s.LastCreated(ctx, project))
	wantResult(t, lateen.Millis(0))(s.LastCreated(ctx, "prj_none"))
	hosts, err := s.ListHosts(ctx)
	check(t, err)
	got := map[string]lateen.DeploymentID{}
	for _, h := range hosts {
		got[h.Name] = h.Deployment
	}
	wantResult(t, map[string]lateen.DeploymentID{
		"dpl_1.example.com": "dpl_1", "dpl_1.alias": "dpl_1", "dpl_3.example.com": "dpl_3", "dpl_3.alias": "dpl_3",
	})(got, nil)
	wantResult(t, []store.Root{{Files: "files"}, {Manifest: "manifest", Files: "files"}})(s.ListRoots(ctx))
}
