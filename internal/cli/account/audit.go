package account

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// auditFlags choose rows of the audit log.
type auditFlags struct {
	actor, since string
	actions      []string
	limit        int
}

// Audit returns the command `lateen audit`.
func Audit(with *command.Session) *cobra.Command {
	s := &session{with}
	var f auditFlags
	c := &cobra.Command{
		Use:     "audit",
		GroupID: command.Look,
		Short:   "Show the audit log of a team",
		Long: "Lists the changes of a team, and the times that values of variables were read, newest\n" +
			"first: when, by which user with which token, from which address. Owners may read it.",
		Example: "lateen audit\nlateen audit --project shop --since 7d\nlateen audit --actor bob --action env.read --json",
		Args:    command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return s.runAudit(c.Context(), &f)
		},
	}
	c.Flags().StringVarP(&s.Flags.Project, "project", "p", "", "of the project with this `name` or id")
	c.Flags().StringVar(&f.actor, "actor", "", "of the user with this `name` or id")
	c.Flags().StringArrayVar(&f.actions, "action", nil, "of this `action`, as env.read; may be repeated")
	c.Flags().StringVar(&f.since, "since", "", "`time` of the oldest row: 30m or 7d ago, or 2026-01-31T08:00:00Z")
	c.Flags().IntVarP(&f.limit, "limit", "n", 50, "`number` of rows at most")
	return c
}

func (s *session) runAudit(ctx context.Context, f *auditFlags) error {
	if f.limit < 1 {
		return command.ErrUsage.With("--limit does not take %d: it is 1 or more", f.limit)
	}
	api, t, err := s.team(ctx, nil)
	if err != nil {
		return err
	}
	api.Team = string(t.ID)
	query, err := s.auditQuery(ctx, api, f)
	if err != nil {
		return err
	}
	rows := []lateen.AuditEvent{}
	for len(rows) < f.limit {
		query.Limit = min(f.limit-len(rows), 100)
		page, next, err := api.Audit(ctx, query)
		if err != nil {
			return err
		}
		rows = append(rows, page...)
		if query.Cursor = next; next == "" {
			break
		}
	}
	if s.Flags.JSON {
		return s.Term.JSON(map[string]any{"events": rows})
	}
	cells := make([][]string, 0, len(rows))
	for i := range rows {
		e := &rows[i]
		cells = append(cells, []string{
			e.CreatedAt.Time().Format(time.RFC3339), terminal.Paint(terminal.Bold, terminal.Clean(e.Username)), string(e.Action),
			terminal.Clean(e.Target), terminal.Clean(e.ProjectName), terminal.Clean(e.TokenName), e.Client, string(e.Request),
		})
	}
	s.Term.Table([]terminal.Column{
		{Title: "time"}, {Title: "actor"}, {Title: "action"}, {Title: "target"}, {Title: "project", Drop: 3}, {Title: "token", Drop: 2}, {Title: "from", Drop: 1}, {Title: "request", Drop: 4},
	}, cells)
	return nil
}

func (s *session) auditQuery(ctx context.Context, api *client.Client, f *auditFlags) (q client.AuditQuery, err error) {
	if q.Since, err = s.Moment("--since", f.since); err != nil {
		return q, err
	}
	for _, action := range f.actions {
		q.Actions = append(q.Actions, lateen.Action(action))
	}
	if s.Flags.Project != "" {
		p, err := api.Project(ctx, s.Flags.Project)
		if err != nil {
			return q, err
		}
		q.Project = p.ID
	}
	if f.actor == "" {
		return q, nil
	}
	q.User = lateen.UserID(f.actor)
	members, _, err := api.Members(ctx, api.Team)
	for _, m := range members {
		if m.Username == f.actor {
			q.User = m.UID
		}
	}
	return q, err
}
