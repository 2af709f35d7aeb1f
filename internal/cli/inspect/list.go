package inspect

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// listFlags filter deployments.
type listFlags struct {
	all    bool
	target lateen.Environment
	branch string
	state  string
	meta   []string
	page   command.PageFlags
}

// List returns the command `lateen ls`.
func List(with *command.Session) *cobra.Command {
	s := &session{with}
	var f listFlags
	c := &cobra.Command{
		Use:     "ls [project]",
		Aliases: []string{"list"},
		GroupID: command.Look,
		Short:   "List deployments",
		Long: "Lists the deployments of a project, newest first. The default is the linked project,\n" +
			"or the whole team in a directory without a link.",
		Example: "lateen ls\n" +
			"lateen ls shop --target production\n" +
			"lateen ls --meta release=42 --json",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: s.CompleteProjects,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				s.Flags.Project = args[0]
			}
			return s.runList(c.Context(), &f)
		},
	}
	flags := c.Flags()
	flags.BoolVarP(&f.all, "all", "a", false, "list all deployments of the team")
	flags.StringVar((*string)(&f.target), "target", "", "filter by `environment`")
	flags.StringVar(&f.branch, "branch", "", "filter by Git `branch`")
	flags.StringVar(&f.state, "state", "", "filter by `state`: ready, error, building, queued, canceled")
	flags.StringArrayVarP(&f.meta, "meta", "m", nil, "filter by metadata `key=value`; repeatable")
	f.page.Add(c, 20, "deployments")
	s.ProjectFlag(c)
	_ = c.RegisterFlagCompletionFunc("target", command.CompleteTargets)                                                              // fails for unknown flags only
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(slices.Sorted(maps.Keys(deploymentStates())), command.NoFiles)) // as above
	return c
}

func (s *session) runList(ctx context.Context, f *listFlags) error {
	api, filter, err := s.listFilter(ctx, f)
	if err != nil {
		return err
	}
	list := command.List[client.Deployment]{
		Field: "deployments", Item: "deployment", Empty: "No deployments found. Create one with `lateen deploy`.",
		Columns: []terminal.Column{
			{Title: "age", Right: true},
			{Title: "state"},
			{Title: "target", Drop: 2},
			{Title: "url"},
			{Title: "branch", Drop: 3},
			{Title: "commit", Drop: 6},
			{Title: "took", Right: true, Drop: 4},
			{Title: "by", Drop: 5},
		},
		Row: func(d *client.Deployment) []string {
			return []string{
				s.Age(d.CreatedAt), stateText(d), targetText(d), d.SiteURL, branch(d), terminal.Paint(terminal.Dim, commitText(d)), buildTime(d), terminal.Clean(d.Creator.Username),
			}
		},
		Page: func(p client.Page) ([]client.Deployment, lateen.Millis, error) {
			return api.Deployments(ctx, filter, p)
		},
	}
	return list.Print(s.Session, &f.page)
}

func (s *session) listFilter(ctx context.Context, f *listFlags) (*client.Client, client.DeploymentFilter, error) {
	filter := client.DeploymentFilter{Target: f.target, Branch: f.branch}
	var err error
	if filter.Meta, err = command.Pairs("--meta", f.meta); err != nil {
		return nil, filter, err
	}
	if filter.States, err = statesOf(f.state); err != nil {
		return nil, filter, err
	}
	api, project, err := s.Scope(ctx, f.all)
	filter.Project = project
	return api, filter, err
}

// environmentText is an environment's name; production stands out.
func environmentText(environment lateen.Environment) string {
	if environment == lateen.Production {
		return terminal.Paint(terminal.Bold, string(environment))
	}
	return terminal.Clean(string(environment))
}

// targetText is the environment of a deployment, and whether it serves production.
func targetText(d *client.Deployment) string {
	text := environmentText(d.Environment())
	if d.Live {
		text += ", " + terminal.Paint(terminal.Good, "live")
	}
	return text
}

// deploymentStates maps the states of the flag --state to those of the API.
func deploymentStates() map[string][]lateen.ReadyState {
	return map[string][]lateen.ReadyState{
		"ready": {lateen.Ready}, "error": {lateen.Failed}, "canceled": {lateen.Canceled},
		"building": {lateen.Building, lateen.Deploying}, "queued": {lateen.Queued, lateen.Initializing},
	}
}

// statesOf parses the flag --state; "" selects all.
func statesOf(text string) ([]lateen.ReadyState, error) {
	states, known := deploymentStates()[strings.ToLower(text)]
	if text != "" && !known {
		return nil, command.ErrUsage.With("state %q does not exist", text).WithHint("use ready, error, building, queued or canceled")
	}
	return states, nil
}
