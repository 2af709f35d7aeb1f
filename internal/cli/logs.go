package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// logFlags choose what of the logs is shown.
type logFlags struct {
	follow       bool
	levels       []string
	since, until string
	query        client.LogQuery
	request      string
	limit        int
	usage        bool
}

// logSources are the kinds of output that answer requests.
func logSources() []string {
	return []string{"static", "function", "prerender", "edge", "middleware", "redirect", "external", "error"}
}

func newLogsCommand(s *session) *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use:     "logs [url|id|project]",
		Aliases: []string{"log"},
		GroupID: command.Look,
		Short:   "Show requests, and what functions wrote",
		Long: "Shows the requests that a deployment or a whole project answered, each with the\n" +
			"lines it made user code write: how it was answered, from which cache or with what\n" +
			"start of a function, and where its time went. Without a name it is the project this\n" +
			"directory is linked to.\n\n" +
			"With -f it goes on with requests as they end, until Ctrl-C.",
		Example: "lateen logs -f\n" +
			"lateen logs shop --level error --since 2h\n" +
			"lateen logs shop.localhost --status 5xx --search /api\n" +
			"lateen logs --request req_01m8… # of an error page\n" +
			"lateen logs shop --json | jq .requestPath",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: s.completeDeployments,
		RunE: func(c *cobra.Command, args []string) error {
			return s.runLogs(c.Context(), strings.Join(args, ""), &f)
		},
	}
	flags := c.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with requests as they end")
	flags.StringSliceVar(&f.levels, "level", nil, "of these `levels`: error, warning, info")
	flags.StringVar(&f.query.Status, "status", "", "with this `status`: 404, 5xx")
	flags.StringVar(&f.since, "since", "", "from this `time` on: 30m, 2h, 7d ago or 2026-01-31T08:00:00Z (default 24h)")
	flags.StringVar(&f.until, "until", "", "up to this `time`, as --since")
	flags.StringVarP(&f.query.Search, "search", "s", "", "with this `text` in the path or a line")
	flags.StringVar(&f.query.Environment, "target", "", "of one `environment`")
	flags.StringVar(&f.query.Branch, "branch", "", "of one Git `branch`")
	flags.StringVar(&f.query.Source, "source", "", "answered by this `kind`: "+strings.Join(logSources(), ", "))
	flags.StringVar(&f.request, "request", "", "the one with this `id`, as an error page or x-vercel-id has it, of whichever project")
	flags.IntVarP(&f.limit, "limit", "n", 50, "`number` of requests at most")
	flags.BoolVarP(&f.usage, "usage", "u", false, "also what functions used: CPU, memory, and the services they called")
	s.projectFlag(c)
	_ = c.RegisterFlagCompletionFunc("target", completeTargets)                                                              // fails for unknown flags only
	_ = c.RegisterFlagCompletionFunc("source", cobra.FixedCompletions(logSources(), command.NoFiles))                        // as above
	_ = c.RegisterFlagCompletionFunc("level", cobra.FixedCompletions([]string{"error", "warning", "info"}, command.NoFiles)) // as above
	return c
}

func (s *session) runLogs(ctx context.Context, name string, f *logFlags) error {
	if err := s.readLogFlags(f); err != nil {
		return err
	}
	list, err := s.logEntries(ctx, name, f)
	if err != nil || f.follow {
		return err
	}
	view := s.newLogView(f.usage)
	for i := len(list) - 1; i >= 0; i-- { // the newest last, where one reads on
		if err := view.entry(&list[i]); err != nil {
			return err
		}
	}
	if len(list) == 0 && !s.Flags.JSON {
		s.Term.Linef("No request matches. `lateen logs -f` shows them as they come.")
	}
	return nil
}

// logEntries returns what was asked for, newest first, or with -f shows it.
func (s *session) logEntries(ctx context.Context, name string, f *logFlags) ([]client.Entry, error) {
	if f.request != "" && name == "" && s.Flags.Project == "" && !f.follow {
		api, err := s.Client()
		if err != nil {
			return nil, err
		}
		return api.Request(ctx, f.query.Request)
	}
	api, err := s.logScope(ctx, name, &f.query)
	if err != nil {
		return nil, err
	}
	if f.follow {
		return nil, s.followLogs(ctx, api, f)
	}
	return entries(ctx, api, f.query, f.limit)
}

// readLogFlags turns what was typed into a query.
func (s *session) readLogFlags(f *logFlags) error {
	for i, level := range f.levels {
		if level == "warn" { // as --log-level has it
			level, f.levels[i] = lateen.LevelWarning, lateen.LevelWarning
		}
		if !slices.Contains([]string{lateen.LevelError, lateen.LevelWarning, lateen.LevelInfo}, level) {
			return command.ErrUsage.With("there is no level %q: error, warning and info", level)
		}
	}
	if f.query.Source != "" {
		for word := range strings.SplitSeq(f.query.Source, ",") {
			if !slices.Contains(logSources(), word) && !slices.Contains([]string{"serverless", "edge-function", "edge-middleware"}, word) { // of the vercel CLI
				return command.ErrUsage.With("there is no source %q: %s", word, strings.Join(logSources(), ", "))
			}
		}
	}
	if f.limit < 1 {
		return command.ErrUsage.With("--limit is %d: 1 or more", f.limit)
	}
	f.query.Levels, f.query.Request = f.levels, lateen.ParseRequestID(f.request)
	var err error
	if f.query.Since, err = s.Moment("--since", f.since); err != nil {
		return err
	}
	f.query.Until, err = s.Moment("--until", f.until)
	return err
}

// logScope resolves what logs are asked for: a deployment, a project by name,
// or the one that is linked.
func (s *session) logScope(ctx context.Context, name string, q *client.LogQuery) (*client.Client, error) {
	if name == "" {
		on, err := s.here(ctx)
		if err != nil {
			return nil, err
		}
		q.Project = on.project.ID
		return on.client, nil
	}
	api, err := s.Client()
	if err != nil {
		return nil, err
	}
	if !strings.ContainsAny(name, ":/") && !strings.HasPrefix(name, "dpl_") {
		p, err := api.Project(ctx, name)
		if err == nil {
			q.Project = p.ID
			return api, nil
		}
		if !errors.Is(err, lateen.ErrProjectNotFound) {
			return nil, err
		}
	}
	d, err := api.Deployment(ctx, host(name))
	if err != nil {
		return nil, err
	}
	q.Project, q.Deployment = d.Project, d.ID
	return api, nil
}

// entries collects at most limit requests, newest first.
func entries(ctx context.Context, api *client.Client, q client.LogQuery, limit int) ([]client.Entry, error) {
	const page = 100 // as the platform bounds it
	var list []client.Entry
	for len(list) < limit {
		some, err := api.Entries(ctx, q, min(limit, page))
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
		if len(some) < min(limit, page) || some[len(some)-1].Cursor == "" { // an older platform has no cursors
			break
		}
		q.Before = some[len(some)-1].Cursor
	}
	return list[:min(limit, len(list))], nil
}

// followLogs shows requests as they end, until ctx does. It outlives the platform.
func (s *session) followLogs(ctx context.Context, api *client.Client, f *logFlags) error {
	s.Term.Linef("%s", terminal.Paint(terminal.Dim, "Requests appear as they end; Ctrl-C ends this."))
	view, lost := s.newLogView(f.usage), false
	for e, err := range api.FollowEntries(ctx, f.query) {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, client.ErrUnreachable):
			if !lost {
				s.Term.Warnf("The connection to %s was lost; the log goes on where it ended once the platform answers.", api.BaseURL)
			}
			lost = true
		case err != nil:
			return err
		default:
			lost = false
			if err := view.entry(&e); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}
