// Package storetest is the test suite of all dialects of the store.
package storetest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// Open opens a database, the same one in each call.
type Open func(t *testing.T) (*store.Store, error)

// Run runs the suite. Each test prepares an empty database of its own.
func Run(t *testing.T, prepare func(t *testing.T) Open) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"user": testUser, "team": testTeam, "member": testMember, "token": testToken, "setting": testSetting,
		"invitation": testInvitation, "audit": testAudit, "audit pages": testAuditPages,
		"project": testProject, "project list": testProjectList, "project delete": testProjectDelete, "env": testEnv,
		"deployment": testDeployment, "deployment list": testDeploymentList, "deployment delete": testDeploymentDelete,
		"deployment hosts and roots": testHostsAndRoots, "build log": testBuildLog, "lease": testLease, "event": testEvent,
		"alias": testAlias, "alias list": testAliasList, "upload": testUpload, "usage": testUsage, "usage names": testUsageNames, "usage writers": testUsageWriters, "candidates": testCandidates, "holding": testHolding,
		"pages": testPages, "text": testText,
		"update": testUpdate, "update fails": testUpdateFails, "update canceled": testUpdateCanceled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, mustOpen(t, prepare(t)))
		})
	}
	for name, test := range map[string]func(*testing.T, Open){
		"reopen": testReopen, "open together": testOpenTogether, "many writers": testManyWriters, "event order": testEventOrder,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, prepare(t))
		})
	}
}

func mustOpen(t *testing.T, open Open) *store.Store {
	t.Helper()
	s, err := open(t)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

// Objects that other objects refer to.
const (
	user    lateen.UserID    = "usr_1"
	team    lateen.TeamID    = "team_1"
	project lateen.ProjectID = "prj_1"
)

// seed adds user, team and project.
func seed(t *testing.T, s *store.Store) {
	t.Helper()
	check(t, s.CreateUser(t.Context(), &lateen.User{ID: user, Username: "ada"}))
	check(t, s.CreateTeam(t.Context(), &lateen.Team{ID: team, Slug: "team"}))
	check(t, s.CreateProject(t.Context(), &lateen.Project{ID: project, Team: team, Name: "site", CreatedAt: 1}))
}

// newDeployment returns a deployment of project that is not stored yet.
func newDeployment(id lateen.DeploymentID, at lateen.Millis) *lateen.Deployment {
	return &lateen.Deployment{
		ID: id, Project: project, Team: team, Name: "site", Host: string(id) + ".example.com",
		Target: lateen.Preview, Creator: user, State: lateen.Queued, CreatedAt: at,
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError fails the test unless err is want.
func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// wantResult compares the result of a call with want; an empty list equals nil.
func wantResult[T any](t *testing.T, want T) func(got T, err error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		check(t, err)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	}
}

// ids returns the key of each item, to compare long lists.
func ids[T any, K any](key func(T) K) func([]T, error) ([]K, error) {
	return func(items []T, err error) ([]K, error) {
		var out []K
		for _, item := range items {
			out = append(out, key(item))
		}
		return out, err
	}
}
