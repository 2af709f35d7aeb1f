package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

type auditReply struct {
	Events     []auditEvent    `json:"events"`
	Pagination auditPagination `json:"pagination"`
}

// auditPagination has the cursor of the next page: cursor=next.
type auditPagination struct {
	Count int     `json:"count"`
	Next  *string `json:"next"` // null: no more rows
}

// auditEvent is a row of the audit log, also with the names of fields that the
// vercel CLI reads.
type auditEvent struct {
	lateen.AuditEvent

	Text        string         `json:"text"` // one sentence for humans
	Type        lateen.Action  `json:"type"`
	PrincipalID lateen.UserID  `json:"principalId"`
	Principal   auditPrincipal `json:"principal"`
}

type auditPrincipal struct {
	Type     string `json:"type"` // user
	Username string `json:"username"`
}

func listAudit(a *API, r *http.Request, _ *none) (*auditReply, error) {
	filter, err := auditFilter(r)
	if err != nil {
		return nil, err
	}
	limit := filter.Limit
	filter.Limit++ // one more, to detect a next page
	rows, err := a.Control.Audit(r.Context(), filter)
	if err != nil {
		return nil, err
	}
	reply := &auditReply{Events: []auditEvent{}}
	if len(rows) > limit {
		rows = rows[:limit]
		last := rows[limit-1]
		next := strconv.FormatInt(int64(last.CreatedAt), 10) + "_" + string(last.ID)
		reply.Pagination.Next = &next
	}
	reply.Pagination.Count = len(rows)
	for _, row := range rows {
		kind, verb, _ := strings.Cut(string(row.Action), ".")
		reply.Events = append(reply.Events, auditEvent{
			AuditEvent: row, Text: row.Username + ": " + verb + " " + kind + " " + row.Target, Type: row.Action,
			PrincipalID: row.User, Principal: auditPrincipal{Type: "user", Username: row.Username},
		})
	}
	return reply, nil
}

func auditFilter(r *http.Request) (f store.AuditFilter, err error) {
	if f.Limit, err = limitOf(r); err != nil {
		return f, err
	}
	if f.Since, err = millisOf(r, "since"); err != nil {
		return f, err
	}
	if f.Until, err = millisOf(r, "until"); err != nil {
		return f, err
	}
	if f.Projects, err = wordsOf[lateen.ProjectID](r, "projectIds"); err != nil {
		return f, err
	}
	one, err := wordsOf[lateen.ProjectID](r, "projectId")
	if err != nil {
		return f, err
	}
	f.Projects = append(f.Projects, one...)
	if f.Users, err = wordsOf[lateen.UserID](r, "userId"); err != nil {
		return f, err
	}
	if f.Actions, err = wordsOf[lateen.Action](r, "types"); err != nil {
		return f, err
	}
	cursor := r.URL.Query().Get("cursor")
	if cursor == "" {
		return f, nil
	}
	at, id, ok := strings.Cut(cursor, "_")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return f, lateen.ErrInvalid.With("cursor is %q: it must be the value of pagination.next", cursor)
	}
	f.Before = store.AuditCursor{CreatedAt: lateen.Millis(ms), ID: lateen.AuditID(id)}
	return f, nil
}
