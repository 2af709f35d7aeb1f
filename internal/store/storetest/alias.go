package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testAlias(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateProject(ctx, &lateen.Project{ID: "prj_2", Team: team, Name: "second"}))
	check(t, s.CreateDeployment(ctx, newDeployment("dpl_1", 1)))
	check(t, s.CreateDeployment(ctx, newDeployment("dpl_2", 2)))
	a := &lateen.Alias{
		ID: "als_1", Host: "a.example.com", Project: project, Team: team, Deployment: "dpl_1",
		Automatic: true, Creator: user, CreatedAt: 1, UpdatedAt: 2,
	}
	wantResult(t, lateen.DeploymentID(""))(s.PutAlias(ctx, a))
	wantResult(t, a)(s.GetAlias(ctx, "als_1"))
	wantResult(t, a)(s.GetAlias(ctx, "a.example.com"))
	_, err := s.GetAlias(ctx, "b.example.com")
	wantError(t, err, lateen.ErrAliasNotFound)

	moved := &lateen.Alias{ID: "als_2", Host: "a.example.com", Project: project, Team: team, Deployment: "dpl_2", Redirect: "b.example.com", Creator: user, CreatedAt: 8, UpdatedAt: 9}
	wantResult(t, lateen.DeploymentID("dpl_1"))(s.PutAlias(ctx, moved))
	if moved.ID != "als_1" || moved.CreatedAt != 1 {
		t.Errorf("moving made it %s of %d, want als_1 of 1", moved.ID, moved.CreatedAt)
	}
	wantResult(t, moved)(s.GetAlias(ctx, "a.example.com"))

	_, err = s.PutAlias(ctx, &lateen.Alias{ID: "als_3", Host: "a.example.com", Project: "prj_2", Team: team, Deployment: "dpl_1"})
	wantError(t, err, lateen.ErrAliasTaken)
	_, err = s.PutAlias(ctx, &lateen.Alias{ID: "als_3", Host: "c.example.com", Project: project, Team: team, Deployment: "dpl_3"})
	wantError(t, err, lateen.ErrDeploymentNotFound)
	_, err = s.PutAlias(ctx, &lateen.Alias{ID: "als_3", Host: "a.example.com", Project: project, Team: team, Deployment: "dpl_3"})
	wantError(t, err, lateen.ErrDeploymentNotFound)

	check(t, s.DeleteAlias(ctx, "als_1"))
	wantError(t, s.DeleteAlias(ctx, "als_1"), lateen.ErrAliasNotFound)
}

func testAliasList(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateDeployment(ctx, newDeployment("dpl_1", 1)))
	check(t, s.CreateDeployment(ctx, newDeployment("dpl_2", 2)))
	for i, d := range []lateen.DeploymentID{"dpl_1", "dpl_1", "dpl_2"} {
		id := string(rune('a' + i))
		_, err := s.PutAlias(ctx, &lateen.Alias{ID: lateen.AliasID(id), Host: id, Project: project, Team: team, Deployment: d, CreatedAt: lateen.Millis(i + 1)})
		check(t, err)
	}
	for _, c := range []struct {
		filter store.AliasFilter
		want   []string
	}{
		{store.AliasFilter{}, []string{"c", "b", "a"}},
		{store.AliasFilter{Team: "team_2"}, nil},
		{store.AliasFilter{Project: "prj_2"}, nil},
		{store.AliasFilter{Team: team, Project: project, Deployment: "dpl_1"}, []string{"b", "a"}},
		{store.AliasFilter{Until: 3, Limit: 1}, []string{"b"}},
	} {
		wantResult(t, c.want)(ids(func(a *lateen.Alias) string { return a.Host })(s.ListAliases(ctx, c.filter)))
	}
}
