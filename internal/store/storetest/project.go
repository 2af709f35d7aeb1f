package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testProject(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	command, empty := "make", ""
	p := &lateen.Project{
		ID: "prj_a", Team: team, Name: "shop", CreatedAt: 5, UpdatedAt: 6,
		ProjectSettings: lateen.ProjectSettings{BuildCommand: &command, RootDirectory: &empty, NodeVersion: "22.x", DirectoryListing: true, Weight: 3},
	}
	check(t, s.CreateProject(ctx, p))
	wantResult(t, p)(s.GetProject(ctx, team, "shop"))
	wantResult(t, p)(s.GetProject(ctx, team, "prj_a"))
	wantResult(t, p)(s.FindProject(ctx, "prj_a"))
	_, err := s.GetProject(ctx, "team_2", "prj_a")
	wantError(t, err, lateen.ErrProjectNotFound)
	_, err = s.FindProject(ctx, "prj_b")
	wantError(t, err, lateen.ErrProjectNotFound)
	wantError(t, s.CreateProject(ctx, &lateen.Project{ID: "prj_b", Team: team, Name: "shop"}), lateen.ErrProjectTaken)
	wantError(t, s.CreateProject(ctx, &lateen.Project{ID: "prj_b", Team: "team_2", Name: "b"}), lateen.ErrTeamNotFound)

	check(t, s.CreateTeam(ctx, &lateen.Team{ID: "team_2", Slug: "other"}))
	sameName := &lateen.Project{ID: "prj_d", Team: "team_2", Name: "shop"}
	check(t, s.CreateProject(ctx, sameName))
	wantResult(t, sameName)(s.GetProject(ctx, "team_2", "shop"))
	wantResult(t, p)(s.GetProject(ctx, team, "shop"))

	namedLikeID := &lateen.Project{ID: "prj_c", Team: team, Name: "prj_a"} // a name equal to another project's id
	check(t, s.CreateProject(ctx, namedLikeID))
	wantResult(t, p)(s.GetProject(ctx, team, "prj_a"))

	check(t, s.CreateDeployment(ctx, newDeployment("dpl_1", 1)))
	p.Name, p.UpdatedAt, p.Production, p.PinnedByRollback = "store", 7, "dpl_1", true
	p.BuildCommand, p.LastAliasRequest = nil, &lateen.AliasRequest{Type: "rollback", To: "dpl_1", JobStatus: "succeeded"}
	check(t, s.UpdateProject(ctx, p))
	wantResult(t, p)(s.GetProject(ctx, team, "store"))
	p.Name = "site"
	wantError(t, s.UpdateProject(ctx, p), lateen.ErrProjectTaken)
	wantError(t, s.UpdateProject(ctx, &lateen.Project{ID: "prj_b", Name: "b"}), lateen.ErrProjectNotFound)
}

func testProjectList(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateTeam(ctx, &lateen.Team{ID: "team_2", Slug: "other"}))
	for i, name := range []string{"my_shop", "my-shop", "100.percent"} {
		check(t, s.CreateProject(ctx, &lateen.Project{
			ID: lateen.ProjectID("prj_" + name), Team: "team_2", Name: name, CreatedAt: lateen.Millis(10 + i),
		}))
	}
	for _, c := range []struct {
		filter store.ProjectFilter
		want   []string
	}{
		{store.ProjectFilter{}, []string{"100.percent", "my-shop", "my_shop", "site"}},
		{store.ProjectFilter{Team: team}, []string{"site"}},
		{store.ProjectFilter{Team: "team_3"}, nil},
		{store.ProjectFilter{Search: "SHOP"}, []string{"my-shop", "my_shop"}},
		{store.ProjectFilter{Search: "y_s"}, []string{"my_shop"}},
		{store.ProjectFilter{Search: "%"}, nil},
		{store.ProjectFilter{Search: `\`}, nil},
		{store.ProjectFilter{Team: "team_2", Until: 12}, []string{"my-shop", "my_shop"}},
		{store.ProjectFilter{Limit: 2}, []string{"100.percent", "my-shop"}},
	} {
		wantResult(t, c.want)(ids(func(p *lateen.Project) string { return p.Name })(s.ListProjects(ctx, c.filter)))
	}
}

func testProjectDelete(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	d := newDeployment("dpl_1", 1)
	d.Meta = map[string]string{"a": "b"}
	check(t, s.CreateDeployment(ctx, d))
	check(t, s.AppendBuildLog(ctx, "dpl_1", []lateen.BuildLogLine{{Type: "stdout"}}))
	_, err := s.PutAlias(ctx, &lateen.Alias{ID: "als_1", Host: "a.example.com", Project: project, Team: team, Deployment: "dpl_1"})
	check(t, err)
	check(t, s.CreateEnv(ctx, &lateen.EnvVar{ID: "env_1", Project: project, Key: "K", Target: []lateen.Environment{lateen.Preview}}))
	check(t, s.UpdateProject(ctx, &lateen.Project{ID: project, Name: "site", Production: "dpl_1"}))

	check(t, s.DeleteProject(ctx, project))
	_, err = s.FindProject(ctx, project)
	wantError(t, err, lateen.ErrProjectNotFound)
	_, err = s.GetDeployment(ctx, "dpl_1")
	wantError(t, err, lateen.ErrDeploymentNotFound)
	_, err = s.GetAlias(ctx, "als_1")
	wantError(t, err, lateen.ErrAliasNotFound)
	wantResult(t, []*lateen.EnvVar(nil))(s.ListEnv(ctx, project))
	wantResult(t, []lateen.BuildLogLine(nil))(s.ListBuildLog(ctx, "dpl_1", 0, 0))
	wantError(t, s.DeleteProject(ctx, project), lateen.ErrProjectNotFound)
	check(t, s.CreateProject(ctx, &lateen.Project{ID: "prj_2", Team: team, Name: "site"})) // the name is free
	check(t, s.CreateEnv(ctx, &lateen.EnvVar{ID: "env_1", Project: "prj_2", Key: "K", Target: []lateen.Environment{lateen.Preview}}))
}
