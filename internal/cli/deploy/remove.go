package deploy

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Remove returns the command `lateen rm`.
func Remove(with *command.Session) *cobra.Command {
	s := &session{with}
	var yes, safe bool
	c := &cobra.Command{
		Use:     "rm <url|id>…",
		Aliases: []string{"remove"},
		GroupID: command.Deploy,
		Short:   "Remove deployments",
		Long: "Removes deployments and the aliases that lead to them. A deployment in progress is\n" +
			"canceled. Remove a whole project with `lateen project rm`.",
		Example:           "lateen rm dpl_06f2…\nlateen rm shop-4k2j9x1ab-team.localhost --safe",
		Args:              command.Takes(1, -1, "the deployment"),
		ValidArgsFunction: s.CompleteDeployments,
		RunE: func(c *cobra.Command, args []string) error {
			return s.runRemove(c.Context(), args, yes, safe)
		},
	}
	command.YesFlag(c, &yes)
	c.Flags().BoolVar(&safe, "safe", false, "fail if the deployment has aliases")
	return c
}

func (s *session) runRemove(ctx context.Context, names []string, yes, safe bool) error {
	api, err := s.Client()
	if err != nil {
		return err
	}
	list := make([]*client.Deployment, 0, len(names))
	for _, name := range names {
		d, err := s.removable(ctx, api, name)
		if err != nil {
			return err
		}
		list = append(list, d)
		aliases := ""
		if len(d.Alias) > 0 {
			aliases = terminal.Paint(terminal.Warn, fmt.Sprintf(" with %s, %s among them", terminal.Count(len(d.Alias), "alias host"), d.Alias[0]))
		}
		s.Term.Linef("  %s  %s%s", d.Host, terminal.Paint(terminal.Dim, string(d.Environment())), aliases)
		if d.Live && !safe {
			s.Term.Warnf("%s serves production of %s. Without it, production answers 404 until the next deployment or `lateen promote`.", d.Host, d.Name)
		}
	}
	if err := s.Confirm(ctx, yes, fmt.Sprintf("Remove %s?", terminal.Count(len(list), "deployment"))); err != nil {
		return err
	}
	removed := make([]lateen.DeploymentID, 0, len(list))
	for _, d := range list {
		if err := api.DeleteDeployment(ctx, string(d.ID), safe); err != nil {
			return err
		}
		removed = append(removed, d.ID)
		s.Term.Donef("Removed %s", d.Host)
	}
	if s.Flags.JSON {
		return s.Term.JSON(map[string]any{"removed": removed})
	}
	return nil
}

// removable returns the deployment of a name. The name of a project is an error.
func (s *session) removable(ctx context.Context, api *client.Client, name string) (*client.Deployment, error) {
	d, err := api.Deployment(ctx, command.Host(name))
	return d, notProject(ctx, api, name, err, "remove the project with `lateen project rm %[1]s`, or list its deployments with `lateen ls %[1]s`")
}

// notProject returns err, the error of a search for a deployment, or the error that its
// name is the name of a project. hint is a format of the project's name.
func notProject(ctx context.Context, api *client.Client, name string, err error, hint string) error {
	if !command.IsGone(err) {
		return err
	}
	p, other := api.Project(ctx, name)
	if other != nil {
		return command.SuggestProject(ctx, api, name, err)
	}
	return command.ErrUsage.With("%s is a project, not a deployment", p.Name).WithHint(hint, p.Name)
}

// deployment returns the deployment of an id, a URL or a host.
func (s *session) deployment(ctx context.Context, api *client.Client, name string) (*client.Deployment, error) {
	d, err := api.Deployment(ctx, command.Host(name))
	return d, notProject(ctx, api, name, err, listHint)
}

const listHint = "list its deployments with `lateen ls %s`"
