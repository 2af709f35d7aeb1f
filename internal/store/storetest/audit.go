package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testAudit(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateToken(ctx, &lateen.Token{ID: "tok_1", User: user, Name: "ci", Hash: "aa"}))
	first := lateen.AuditEvent{
		ID: "aud_1", Team: team, CreatedAt: 5, User: user, Username: "ada", Token: "tok_1", TokenName: "ci", Project: project, ProjectName: "site",
		Action: lateen.ActionEnvRead, Target: "KEY", Client: "192.0.2.7", Request: "req_1",
	}
	second := lateen.AuditEvent{ID: "aud_2", Team: team, CreatedAt: 6, User: "usr_gone", Action: lateen.ActionTokenRevoke, Target: "ci"}
	check(t, s.AppendAudit(ctx, &first))
	check(t, s.AppendAudit(ctx, &second))
	check(t, s.AppendAudit(ctx, &lateen.AuditEvent{ID: "aud_3", Team: "team_2", CreatedAt: 7}))
	rows := func(f store.AuditFilter) ([]lateen.AuditEvent, error) { f.Team = team; return s.ListAudit(ctx, f) }
	wantResult(t, []lateen.AuditEvent{second, first})(rows(store.AuditFilter{}))
	wantResult(t, []lateen.AuditEvent{first})(rows(store.AuditFilter{Projects: []lateen.ProjectID{project}}))
	wantResult(t, []lateen.AuditEvent{second})(rows(store.AuditFilter{Users: []lateen.UserID{"usr_gone"}}))
	wantResult(t, []lateen.AuditEvent{first})(rows(store.AuditFilter{Actions: []lateen.Action{lateen.ActionEnvRead}}))
	wantResult(t, []lateen.AuditEvent{second})(rows(store.AuditFilter{Since: 6}))
	wantResult(t, []lateen.AuditEvent{first})(rows(store.AuditFilter{Until: 5}))

	// A row belongs to the transaction of its change, and outlives its objects.
	failed := errors.New("failed")
	err := s.Update(ctx, func(q *store.Queries) error {
		check(t, q.AppendAudit(ctx, &lateen.AuditEvent{ID: "aud_4", Team: team, CreatedAt: 8}))
		return failed
	})
	wantError(t, err, failed)
	check(t, s.DeleteProject(ctx, project))
	check(t, s.DeleteToken(ctx, user, "tok_1"))
	check(t, s.DeleteTeam(ctx, team))
	wantResult(t, []lateen.AuditEvent{second, first})(rows(store.AuditFilter{}))
	wantResult(t, []lateen.AuditEvent{first})(rows(store.AuditFilter{Projects: []lateen.ProjectID{"other", "site"}, Users: []lateen.UserID{"ada", "usr_gone"}}))
	wantResult(t, []lateen.AuditEvent{})(rows(store.AuditFilter{Projects: []lateen.ProjectID{"site"}, Users: []lateen.UserID{"usr_gone"}}))

	wantResult(t, int64(1))(s.ExpireAudit(ctx, 6))
	wantResult(t, []lateen.AuditEvent{second})(rows(store.AuditFilter{}))
}

// testAuditPages reads the log page by page while rows are added: each row of the
// start is read once.
func testAuditPages(t *testing.T, s *store.Store) {
	ctx := t.Context()
	var want []lateen.AuditID
	for i, at := range []lateen.Millis{9, 9, 9, 8, 7, 7} {
		id := lateen.AuditID(fmt.Sprintf("aud_%d", 9-i))
		want = append(want, id)
		check(t, s.AppendAudit(ctx, &lateen.AuditEvent{ID: id, Team: team, CreatedAt: at}))
	}
	for limit := 1; limit <= 7; limit++ {
		var got []lateen.AuditID
		filter := store.AuditFilter{Team: team, Limit: limit, Until: 9}
		for {
			rows, err := s.ListAudit(ctx, filter)
			check(t, err)
			if len(rows) == 0 {
				break
			}
			for _, e := range rows {
				got = append(got, e.ID)
				filter.Before = store.AuditCursor{CreatedAt: e.CreatedAt, ID: e.ID}
			}
			check(t, s.AppendAudit(ctx, &lateen.AuditEvent{ID: lateen.NewID[lateen.AuditID]("aud_", lateen.Millis(20).Time()), Team: team, CreatedAt: 20}))
		}
		wantResult(t, want)(got, nil)
	}
}
