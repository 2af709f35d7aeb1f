package store

import (
	"context"
	"strings"

	"github.com/lateen-dev/lateen"
)

// AuditFilter selects rows of the audit log of one team; a zero field, except Team,
// selects all.
type AuditFilter struct {
	Team     lateen.TeamID      // required
	Projects []lateen.ProjectID // ids, or names at the time of the row
	Users    []lateen.UserID    // ids of actors, or usernames at the time of the row
	Actions  []lateen.Action
	Since    lateen.Millis // at or after this time
	Until    lateen.Millis // at or before this time
	Before   AuditCursor   // only rows after this one in the order of the list
	Limit    int           // maximum number of rows; 0 is all
}

// AuditCursor is the position of a row in the audit log. The zero value is the start
// of the list.
type AuditCursor struct {
	CreatedAt lateen.Millis
	ID        lateen.AuditID
}

// AppendAudit adds a row to the audit log, with the current names of the user, the
// token and the project. No call changes a row.
func (q *Queries) AppendAudit(ctx context.Context, e *lateen.AuditEvent) error {
	return q.exec(ctx, meaning{},
		`INSERT INTO audit_events (id, team_id, created_at, user_id, username, token_id, token_name, project_id, project_name,
			action, target, client_ip, request_id)
		 VALUES (?, ?, ?, ?, COALESCE((SELECT username FROM users WHERE id = ?), ''), ?, COALESCE((SELECT name FROM tokens WHERE id = ?), ''),
			?, COALESCE((SELECT name FROM projects WHERE id = ?), ''), ?, ?, ?, ?)`,
		e.ID, e.Team, e.CreatedAt, e.User, e.User, e.Token, e.Token, e.Project, e.Project, e.Action, e.Target, e.Client, e.Request)
}

// ListAudit returns rows of the audit log, newest first; rows of the same
// millisecond are in the order of their ids.
func (q *Queries) ListAudit(ctx context.Context, f AuditFilter) ([]lateen.AuditEvent, error) {
	var w where
	w.and("team_id = ?", f.Team)
	named(&w, "project_id", "project_name", "prj_", f.Projects)
	named(&w, "user_id", "username", "usr_", f.Users)
	among(&w, "action", f.Actions)
	if f.Since != 0 {
		w.and("created_at >= ?", f.Since)
	}
	if f.Until != 0 {
		w.and("created_at <= ?", f.Until)
	}
	if f.Before.ID != "" {
		w.and("(created_at < ? OR created_at = ? AND id < ?)", f.Before.CreatedAt, f.Before.CreatedAt, f.Before.ID)
	}
	query := `SELECT id, team_id, created_at, user_id, username, token_id, token_name, project_id, project_name, action, target,
		client_ip, request_id FROM audit_events` + w.String() + ` ORDER BY created_at DESC, id DESC`
	if f.Limit > 0 {
		query += ` LIMIT ?`
		w.args = append(w.args, f.Limit)
	}
	return list(ctx, q, scanAudit, query, w.args...)
}

// named selects rows by the id of an object, which begins with a prefix, or else by
// its name. A row outlives its objects, so the name may no longer lead to an id.
func named[T ~string](w *where, id, name, prefix string, values []T) {
	var ids, names []T
	for _, v := range values {
		if strings.HasPrefix(string(v), prefix) {
			ids = append(ids, v)
		} else {
			names = append(names, v)
		}
	}
	if len(ids) == 0 || len(names) == 0 { // one index per column, none for both
		among(w, id, ids)
		among(w, name, names)
		return
	}
	var either where
	among(&either, id, ids)
	among(&either, name, names)
	w.and("("+strings.Join(either.conditions, " OR ")+")", either.args...)
}

// ExpireAudit removes the rows of the audit log before a time, the end of their
// retention, and returns their number.
func (q *Queries) ExpireAudit(ctx context.Context, before lateen.Millis) (int64, error) {
	return q.execAny(ctx, meaning{}, `DELETE FROM audit_events WHERE created_at < ?`, before)
}

func scanAudit(r row) (lateen.AuditEvent, error) {
	var e lateen.AuditEvent
	err := r.Scan(&e.ID, &e.Team, &e.CreatedAt, &e.User, &e.Username, &e.Token, &e.TokenName, &e.Project, &e.ProjectName,
		&e.Action, &e.Target, &e.Client, &e.Request)
	return e, err
}
