package inspect

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

// logFlags filter the logs.
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

// Logs returns the command `lateen logs`.
func Logs(with *command.Session) *cobra.Command {
	s := &session{with}
	var f logFlags
	c := &cobra.Command{
		Use:     "logs [url|id|project]",
		Aliases: []string{"log"},
		GroupID: command.Look,
		Short:   "Show requests and the output of functions",
		Long: "Shows the requests to a deployment or a project, each with its status, cache state,\n" +
			"kind of start, timings and the output of user code. The default is the linked\n" +
			"project.\n\n" +
			"With -f, new requests are shown as they end, until Ctrl-C.",
		Example: "lateen logs -f\n" +
			"lateen logs shop --level error --since 2h\n" +
			"lateen logs shop.localhost --status 5xx --search /api\n" +
			"lateen logs --request req_01m8…   # id on an error page\n" +
			"lateen logs shop --json | jq .requestPath",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: s.CompleteDeployments,
		RunE: func(c *cobra.Command, args []string) error {
			return s.runLogs(c.Context(), strings.Join(args, ""), &f)
		},
	}
	flags := c.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "show new requests as they end")
	flags.StringSliceVar(&f.levels, "level", nil, "filter by `levels`: error, warning, info")
	flags.StringVar(&f.query.Status, "status", "", "filter by `status`, as 404 or 5xx")
	flags.StringVar(&f.since, "since", "", "start `time`: an age, as 30m, 2h or 7d, or a date, as 2026-01-31T08:00:00Z (default 24h)")
	flags.StringVar(&f.until, "until", "", "end `time`, in the format of --since")
	flags.StringVarP(&f.query.Search, "search", "s", "", "filter by `text` in the path or the output")
	flags.StringVar((*string)(&f.query.Environment), "target", "", "filter by `environment`")
	flags.StringVar(&f.query.Branch, "branch", "", "filter by Git `branch`")
	flags.StringVar(&f.query.Source, "source", "", "filter by `kind` of output: "+strings.Join(logSources(), ", "))
	flags.StringVar(&f.request, "request", "", "show the request with this `id`, from an error page or x-vercel-id, in any project")
	flags.IntVarP(&f.limit, "limit", "n", 50, "maximum `number` of requests")
	flags.BoolVarP(&f.usage, "usage", "u", false, "show CPU, memory and outbound connections of functions")
	s.ProjectFlag(c)
	_ = c.RegisterFlagCompletionFunc("target", command.CompleteTargets)                                                      // fails for unknown flags only
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
		s.Term.Linef("No requests found. Follow new requests with `lateen logs -f`.")
	}
	return nil
}

// logEntries returns the requested entries, newest first, or shows them with -f.
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

// readLogFlags converts the flags to a query.
func (s *session) readLogFlags(f *logFlags) error {
	for i, level := range f.levels {
		if level == "warn" { // as --log-level has it
			level, f.levels[i] = lateen.LevelWarning, lateen.LevelWarning
		}
		if !slices.Contains([]string{lateen.LevelError, lateen.LevelWarning, lateen.LevelInfo}, level) {
			return command.ErrUsage.With("level %q does not exist", level).WithHint("use error, warning or info")
		}
	}
	if f.query.Source != "" {
		for word := range strings.SplitSeq(f.query.Source, ",") {
			if !slices.Contains(logSources(), word) && !slices.Contains([]string{"serverless", "edge-function", "edge-middleware"}, word) { // of the vercel CLI
				return command.ErrUsage.With("source %q does not exist", word).WithHint("use one of %s", strings.Join(logSources(), ", "))
			}
		}
	}
	if f.limit < 1 {
		return command.ErrUsage.With("--limit %d is out of range", f.limit).WithHint("use 1 or more")
	}
	f.query.Levels, f.query.Request = f.levels, lateen.ParseRequestID(f.request)
	var err error
	if f.query.Since, err = s.Moment("--since", f.since); err != nil {
		return err
	}
	f.query.Until, err = s.Moment("--until", f.until)
	return err
}

// logScope resolves the scope of the logs: a deployment, a project by name, or the
// linked project.
func (s *session) logScope(ctx context.Context, name string, q *client.LogQuery) (*client.Client, error) {
	if name == "" {
		on, err := s.Here(ctx)
		if err != nil {
			return nil, err
		}
		q.Project = on.Project.ID
		return on.Client, nil
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
	d, err := api.Deployment(ctx, command.Host(name))
	if err != nil {
		return nil, command.SuggestProject(ctx, api, name, err)
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

// followLogs shows requests as they end, until ctx ends. It reconnects after restarts of
// the platform.
func (s *session) followLogs(ctx context.Context, api *client.Client, f *logFlags) error {
	s.Term.Linef("%s", terminal.Paint(terminal.Dim, "Following requests. Press Ctrl-C to stop."))
	view, lost := s.newLogView(f.usage), false
	for e, err := range api.FollowEntries(ctx, f.query) {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, client.ErrUnreachable):
			if !lost {
				s.Term.Warnf("Connection to %s lost; reconnecting. The log continues where it stopped.", api.BaseURL)
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
