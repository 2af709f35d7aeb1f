package deploy

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
)

// Redeploy returns the command `lateen redeploy`.
func Redeploy(with *command.Session) *cobra.Command {
	s := &session{with}
	var target lateen.Environment
	var noWait bool
	c := &cobra.Command{
		Use:     "redeploy <url|id>",
		GroupID: command.Deploy,
		Short:   "Deploy the files of a deployment again",
		Long: "Creates a new deployment from the files of an existing one, with the current\n" +
			"variables of the project, and prints its URL.",
		Example:           "lateen redeploy shop.localhost\nlateen redeploy dpl_06f2… --target production",
		Args:              command.Takes(1, 1, "the deployment"),
		ValidArgsFunction: s.CompleteDeployments,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := s.Client()
		if err != nil {
			return err
		}
		d, err := api.Redeploy(c.Context(), command.Host(args[0]), target)
		if err != nil {
			s.tellUnanswered(err, "")
			return notProject(c.Context(), api, args[0], err, listHint)
		}
		return s.await(c.Context(), api, d, noWait)
	}
	c.Flags().StringVar((*string)(&target), "target", "", "`environment` to deploy to (default: the environment of the deployment)")
	c.Flags().BoolVar(&noWait, "no-wait", false, "return before the deployment is ready")
	_ = c.RegisterFlagCompletionFunc("target", command.CompleteTargets) // fails for unknown flags only
	return c
}

// await shows the progress of a new deployment.
func (s *session) await(ctx context.Context, api *client.Client, d *client.Deployment, noWait bool) error {
	p, err := api.Project(ctx, string(d.Project))
	if err != nil {
		return err
	}
	show := &deployView{session: s}
	if !noWait {
		d, err = api.Await(ctx, d, show.progress)
	}
	return s.deployed(ctx, &command.Site{Client: api, Project: p}, d, err, show, true)
}
