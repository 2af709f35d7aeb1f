// Package storetest is the suite that every dialect of the store passes.
package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// Open returns an empty store. The suite closes it.
type Open func(t *testing.T) *store.Store

// Run runs the suite, each part on a store of its own.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"user":       testUser,
		"team":       testTeam,
		"member":     testMember,
		"token":      testToken,
		"project":    testProject,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() { check(t, s.Close()) })
			test(t, s)
		})
	}
}

func testUser(t *testing.T, s *store.Store) {
	u := &lateen.User{ID: "usr_1", Username: "ada", Email: "ada@example.com", Name: "Ada", CreatedAt: 1700000000123}
	check(t, s.CreateUser(t.Context(), u))
	got, err := s.GetUser(t.Context(), "usr_1")
	check(t, err)
	same(t, u, got)
	got, err = s.GetUserByName(t.Context(), "ada")
	check(t, err)
	same(t, u, got)
	_, err = s.GetUser(t.Context(), "usr_2")
	fails(t, err, lateen.ErrUserNotFound)
	_, err = s.GetUserByName(t.Context(), "bob\x00\xff")
	fails(t, err, lateen.ErrUserNotFound)
	fails(t, s.CreateUser(t.Context(), &lateen.User{ID: "usr_2", Username: "ada"}), lateen.ErrUserTaken)
	fails(t, s.CreateUser(t.Context(), &lateen.User{ID: "usr_1", Username: "bob"}), lateen.ErrUserTaken)
}

func testTeam(t *testing.T, s *store.Store) {
}

func testMember(t *testing.T, s *store.Store) {
}

func testToken(t *testing.T, s *store.Store) {
}

func testProject(t *testing.T, s *store.Store) {
	check(t, s.CreateTeam(t.Context(), &lateen.Team{ID: "team_1", Slug: "a"}))
	command := "make"
	p := &lateen.Project{ID: "prj_1", Team: "team_1", Name: "site", CreatedAt: 1, UpdatedAt: 2,
		ProjectSettings: lateen.ProjectSettings{BuildCommand: &command, DirectoryListing: true}}
	check(t, s.CreateProject(t.Context(), p))
	got, err := s.GetProject(t.Context(), "team_1", "site")
	check(t, err)
	same(t, p, got)
	d := &lateen.Deployment{ID: "dpl_1", Project: "prj_1", Team: "team_1", Meta: map[string]string{"a":"b"}}
	check(t, s.CreateDeployment(t.Context(), d))
	p.Production = "dpl_1"
	check(t, s.UpdateProject(t.Context(), p))
	l, err := s.ListDeployments(t.Context(), store.DeploymentFilter{Team: "team_1", Meta: map[string]string{"a":"b"}, Limit: 2})
	check(t, err)
	same(t, []*lateen.Deployment{d}, l)
	check(t, s.CreateEnv(t.Context(), &lateen.EnvVar{ID: "env_1", Project: "prj_1", Key: "A", Value: "a\x00\xff", Target: []string{"b", "a"}}))
	e, err := s.ListEnv(t.Context(), "prj_1")
	check(t, err)
	t.Log(e[0])
	check(t, s.DeleteProject(t.Context(), "prj_1"))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fails(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func same(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(fmt.Sprint("(-want +got)\n", diff))
	}
}
