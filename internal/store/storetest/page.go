package storetest

import (
	"fmt"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// testPages reads pages of every length from projects of which several have the same
// creation time: none may be missing or repeated.
func testPages(t *testing.T, s *store.Store) {
	ctx := t.Context()
	check(t, s.CreateTeam(ctx, &lateen.Team{ID: team, Slug: "team"}))
	var want []string
	for i, at := range []lateen.Millis{9, 9, 8, 7, 7, 7, 6, 5, 5} {
		name := fmt.Sprintf("p%d", 9-i)
		want = append(want, name)
		check(t, s.CreateProject(ctx, &lateen.Project{ID: lateen.ProjectID(name), Team: team, Name: name, CreatedAt: at}))
	}
	for limit := 1; limit <= 10; limit++ {
		var got []string
		filter := store.ProjectFilter{Team: team, Search: "p", Limit: limit}
		for {
			projects, err := s.ListProjects(ctx, filter)
			check(t, err)
			if len(projects) == 0 {
				break
			}
			for _, p := range projects {
				got = append(got, p.Name)
				filter.Until = p.CreatedAt
			}
		}
		wantResult(t, want)(got, nil)
	}
}

// testText stores free text that not every database accepts unchanged, and requests
// names that no row can have.
func testText(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	d := newDeployment("dpl_1", 1)
	d.Meta, d.ErrorText = map[string]string{"k\x00": "v\xff"}, "a\x00b\xff☃"
	check(t, s.CreateDeployment(ctx, d))
	got, err := s.GetDeployment(ctx, "dpl_1")
	check(t, err)
	if got.ErrorText != "ab\uFFFD☃" {
		t.Errorf("text became %q", got.ErrorText)
	}
	const odd = "a\x00\xff'\"?$1"
	_, err = s.GetUserByName(ctx, odd)
	wantError(t, err, lateen.ErrUserNotFound)
	_, err = s.GetTeam(ctx, odd)
	wantError(t, err, lateen.ErrTeamNotFound)
	_, err = s.GetProject(ctx, team, odd)
	wantError(t, err, lateen.ErrProjectNotFound)
	_, err = s.FindDeployment(ctx, team, odd)
	wantError(t, err, lateen.ErrDeploymentNotFound)
	_, err = s.GetAlias(ctx, odd)
	wantError(t, err, lateen.ErrAliasNotFound)
	_, err = s.GetTokenByHash(ctx, odd)
	wantError(t, err, lateen.ErrTokenInvalid)
	wantResult(t, []*lateen.Project(nil))(s.ListProjects(ctx, store.ProjectFilter{Search: odd}))
	wantResult(t, []*lateen.Deployment(nil))(s.ListDeployments(ctx, store.DeploymentFilter{Meta: map[string]string{odd: odd}}))
	wantError(t, s.DeleteAlias(ctx, odd), lateen.ErrAliasNotFound)
}
