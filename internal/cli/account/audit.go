package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// auditFlags filter the audit log.
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
		Long: "Lists the entries of a team's audit log, newest first: each change and each read of\n" +
			"a variable's value, with its time, user, token and client address. Only owners of\n" +
			"the team may read it.\n\n" +
			"The actions are:\n" + actionList() + ".",
		Example: "lateen audit\nlateen audit --project shop --since 7d\nlateen audit --actor bob --action env.read --json",
		Args:    command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return s.runAudit(c.Context(), &f)
		},
	}
	c.Flags().StringVarP(&s.Flags.Project, "project", "p", "", "filter by `name` or id of the project, which may be a removed one")
	c.Flags().StringVar(&f.actor, "actor", "", "filter by `name` or id of a current or former member")
	c.Flags().StringArrayVar(&f.actions, "action", nil, "filter by `action`, as env.read; repeatable")
	_ = c.RegisterFlagCompletionFunc("action", cobra.FixedCompletions(words(lateen.Actions()), cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	c.Flags().StringVar(&f.since, "since", "", "start `time`: an age, as 30m or 7d, or a date, as 2026-01-31T08:00:00Z")
	c.Flags().IntVarP(&f.limit, "limit", "n", 50, "maximum `number` of entries")
	return c
}

func (s *session) runAudit(ctx context.Context, f *auditFlags) error {
	if f.limit < 1 {
		return command.ErrUsage.With("--limit %d is out of range", f.limit).WithHint("use 1 or more")
	}
	api, t, err := s.team(ctx, nil)
	if err != nil {
		return err
	}
	api.Team = string(t.ID)
	query, absent, err := s.auditQuery(ctx, api, f)
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
	if len(rows) == 0 && absent == nil && f.actor != "" {
		absent = knownActor(ctx, api, f.actor)
	}
	if len(rows) == 0 && absent != nil {
		return absent
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

// auditQuery returns the query of the flags. A removed project may still have entries;
// absent is the error to return if it has none.
func (s *session) auditQuery(ctx context.Context, api *client.Client, f *auditFlags) (q client.AuditQuery, absent, err error) {
	if q.Since, err = s.Moment("--since", f.since); err != nil {
		return q, nil, err
	}
	for _, action := range f.actions {
		if !slices.Contains(lateen.Actions(), lateen.Action(action)) {
			return q, nil, command.ErrUsage.With("action %q does not exist", action).WithHint("list the actions with `lateen audit --help`")
		}
		q.Actions = append(q.Actions, lateen.Action(action))
	}
	q.User = lateen.UserID(f.actor)
	if s.Flags.Project == "" {
		return q, nil, nil
	}
	p, err := api.Project(ctx, s.Flags.Project)
	switch {
	case errors.Is(err, lateen.ErrProjectNotFound):
		q.Project = lateen.ProjectID(s.Flags.Project)
		return q, command.SuggestProject(ctx, api, s.Flags.Project, err), nil
	case err != nil:
		return q, nil, err
	}
	q.Project = p.ID
	return q, nil, nil
}

// knownActor returns an error if a team has no member with a name or id.
func knownActor(ctx context.Context, api *client.Client, actor string) error {
	members, _, err := api.Members(ctx, api.Team)
	if err != nil || slices.ContainsFunc(members, func(m client.Member) bool { return m.Username == actor || string(m.UID) == actor }) {
		return err
	}
	return lateen.ErrMemberNotFound.With("member %q not found in the team, and no entry has that actor", actor)
}

func words(actions []lateen.Action) []string {
	list := make([]string, 0, len(actions))
	for _, a := range actions {
		list = append(list, string(a))
	}
	return list
}

// actionList lists the actions, those of one kind of target on a line.
func actionList() string {
	var b strings.Builder
	kind := ""
	for _, action := range lateen.Actions() {
		of, _, _ := strings.Cut(string(action), ".")
		switch kind {
		case "":
		case of:
			b.WriteString(", ")
		default:
			b.WriteString(",\n")
		}
		kind = of
		b.WriteString(string(action))
	}
	return b.String()
}
