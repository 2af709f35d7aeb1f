package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testUser(t *testing.T, s *store.Store) {
	ctx := t.Context()
	ada := &lateen.User{ID: "usr_a", Username: "ada", Email: "ada@example.com", Name: "Ada", CreatedAt: 1700000000123}
	check(t, s.CreateUser(ctx, ada))
	wantResult(t, ada)(s.GetUser(ctx, "usr_a"))
	wantResult(t, ada)(s.GetUserByName(ctx, "ada"))

	wantError(t, s.CreateUser(ctx, &lateen.User{ID: "usr_b", Username: "ada"}), lateen.ErrUserTaken)
	wantError(t, s.CreateUser(ctx, &lateen.User{ID: "usr_a", Username: "bob"}), lateen.ErrUserTaken)
	_, err := s.GetUser(ctx, "usr_b")
	wantError(t, err, lateen.ErrUserNotFound)
	_, err = s.GetUserByName(ctx, "Ada")
	wantError(t, err, lateen.ErrUserNotFound)
}

func testTeam(t *testing.T, s *store.Store) {
	ctx := t.Context()
	a := &lateen.Team{ID: "team_a", Slug: "a-team", Name: "The A-Team", CreatedAt: 2}
	b := &lateen.Team{ID: "team_b", Slug: "b-team", CreatedAt: 1}
	check(t, s.CreateTeam(ctx, a))
	check(t, s.CreateTeam(ctx, b))
	wantResult(t, a)(s.GetTeam(ctx, "team_a"))
	wantResult(t, b)(s.GetTeam(ctx, "b-team"))
	wantError(t, s.CreateTeam(ctx, &lateen.Team{ID: "team_c", Slug: "a-team"}), lateen.ErrTeamTaken)
	_, err := s.GetTeam(ctx, "team_c")
	wantError(t, err, lateen.ErrTeamNotFound)

	wantResult(t, a)(s.FirstTeam(ctx)) // the first created, independent of the clock

	check(t, s.CreateUser(ctx, &lateen.User{ID: user, Username: "ada"}))
	wantResult(t, []*lateen.Team(nil))(s.ListTeams(ctx, user))
	check(t, s.PutMember(ctx, lateen.Member{Team: "team_b", User: user, Role: lateen.Viewer}))
	check(t, s.PutMember(ctx, lateen.Member{Team: "team_a", User: user, Role: lateen.Viewer}))
	check(t, s.PutMember(ctx, lateen.Member{Team: "team_b", User: user, Role: lateen.Owner}))
	wantResult(t, []*lateen.Team{b, a})(s.ListTeams(ctx, user)) // in the order of joining

	check(t, s.RenameTeam(ctx, "team_b", "B"))
	b.Name = "B"
	wantResult(t, b)(s.GetTeam(ctx, "b-team"))
	wantError(t, s.RenameTeam(ctx, "team_c", "C"), lateen.ErrTeamNotFound)
	check(t, s.CreateProject(ctx, &lateen.Project{ID: project, Team: "team_a", Name: "site", CreatedAt: 1}))
	wantError(t, s.DeleteTeam(ctx, "team_a"), lateen.ErrTeamNotEmpty)
	check(t, s.DeleteTeam(ctx, "team_b"))
	wantError(t, s.DeleteTeam(ctx, "team_b"), lateen.ErrTeamNotFound)
	wantResult(t, []*lateen.Team{a})(s.ListTeams(ctx, user))
}

func testMember(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateUser(ctx, &lateen.User{ID: "usr_2", Username: "bob"}))
	_, err := s.GetMember(ctx, team, user)
	wantError(t, err, lateen.ErrTeamNotFound)

	ada, bob := lateen.Member{Team: team, User: user, Role: lateen.Owner}, lateen.Member{Team: team, User: "usr_2", Role: lateen.Viewer}
	check(t, s.PutMember(ctx, bob))
	check(t, s.PutMember(ctx, ada))
	wantResult(t, []lateen.Member{ada, bob})(s.ListMembers(ctx, team))
	bob.Role = lateen.Developer
	check(t, s.PutMember(ctx, bob))
	wantResult(t, bob)(s.GetMember(ctx, team, "usr_2"))
	wantError(t, s.PutMember(ctx, lateen.Member{Team: team, User: "usr_3", Role: lateen.Owner}), lateen.ErrUserNotFound)
	check(t, s.DeleteMember(ctx, team, "usr_2"))
	wantError(t, s.DeleteMember(ctx, team, "usr_2"), lateen.ErrMemberNotFound)
	wantResult(t, []lateen.Member{ada})(s.ListMembers(ctx, team))
}
