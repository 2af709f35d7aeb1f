package deploy

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Promote returns the command `lateen promote`.
func Promote(with *command.Session) *cobra.Command {
	s := &session{with}
	var yes bool
	c := &cobra.Command{
		Use:     "promote <url|id>",
		GroupID: command.Deploy,
		Short:   "Promote a deployment to production",
		Long: "Points the production hosts of a project at a deployment. A deployment for\n" +
			"production serves at once. A preview is deployed again with the variables of\n" +
			"production, and the new deployment serves once it is ready.\n\n" +
			"A promotion also ends the pin of a rollback: new deployments reach production again.",
		Example:           "lateen promote shop-4k2j9x1ab-team.localhost",
		Args:              command.Takes(1, 1, "the deployment"),
		ValidArgsFunction: s.CompleteDeployments,
		RunE: func(c *cobra.Command, args []string) error {
			return s.runPromote(c.Context(), args[0], yes)
		},
	}
	command.YesFlag(c, &yes)
	return c
}

func (s *session) runPromote(ctx context.Context, idOrURL string, yes bool) error {
	api, err := s.Client()
	if err != nil {
		return err
	}
	d, err := s.deployment(ctx, api, idOrURL)
	if err != nil {
		return err
	}
	if d.Environment() != lateen.Production {
		s.Term.Linef("%s is a deployment for %s. It will be deployed again for production.", command.WithoutScheme(d.SiteURL), d.Environment())
		if s.Term.Interactive() {
			if err := s.Confirm(ctx, yes, "Continue?"); err != nil {
				return err
			}
		}
	}
	d, err = api.Promote(ctx, string(d.Project), string(d.ID))
	if err != nil {
		return err
	}
	if !d.Settled() {
		return s.await(ctx, api, d, false)
	}
	return s.nowServes(ctx, api, d, "Promoted")
}

// nowServes reports the deployment that serves production and its URL.
func (s *session) nowServes(ctx context.Context, api *client.Client, d *client.Deployment, verb string) error {
	d, err := api.Deployment(ctx, string(d.ID)) // with the hosts it has now
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		return s.Term.JSON(d)
	}
	s.Term.Donef("%s: %s serves production of %s", verb, command.WithoutScheme(d.SiteURL), terminal.Paint(terminal.Bold, d.Name))
	s.Term.Answer(terminal.Paint(terminal.Code, command.Address(d)))
	return nil
}

// Rollback returns the command `lateen rollback`.
func Rollback(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "rollback [url|id]",
		GroupID: command.Deploy,
		Short:   "Roll production back to an earlier deployment",
		Long: "Points the production hosts of a project back at an earlier production deployment,\n" +
			"by default the previous one. It serves at once. Staged deployments that were never\n" +
			"promoted are skipped.\n\n" +
			"A rollback pins production: new deployments do not reach it until `lateen promote`.",
		Example:           "lateen rollback\nlateen rollback dpl_06f2…",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: s.CompleteDeployments,
		RunE: func(c *cobra.Command, args []string) error {
			api, to, err := s.rollbackTarget(c.Context(), args)
			if err != nil {
				return err
			}
			d, err := api.Rollback(c.Context(), string(to.Project), string(to.ID))
			if err != nil {
				return err
			}
			if err := s.nowServes(c.Context(), api, d, "Rolled back"); err != nil {
				return err
			}
			s.Term.Linef("%s", "Production is pinned: new deployments do not reach it until `lateen promote`.")
			return nil
		},
	}
	s.ProjectFlag(c)
	return c
}

var errNoEarlier = &lateen.Error{Code: lateen.NotFound, Reason: "no_earlier_deployment", Message: "no earlier production deployment found", Hint: "list deployments with `lateen ls --target production`"}

// rollbackTarget returns the deployment to roll back to: the one named, or the
// newest before the one that serves now that has served production.
func (s *session) rollbackTarget(ctx context.Context, args []string) (*client.Client, *client.Deployment, error) {
	if len(args) > 0 {
		api, err := s.Client()
		if err != nil {
			return nil, nil, err
		}
		d, err := s.deployment(ctx, api, args[0])
		return api, d, err
	}
	on, err := s.Here(ctx)
	if err != nil {
		return nil, nil, err
	}
	filter := client.DeploymentFilter{Project: on.Project.ID, Target: lateen.Production, States: []lateen.ReadyState{lateen.Ready}}
	now := on.Project.Targets[lateen.Production]
	if now == nil {
		return nil, nil, nothingLive(ctx, on, filter)
	}
	for until := now.CreatedAt; until != 0; {
		var before []client.Deployment
		if before, until, err = on.Client.Deployments(ctx, filter, client.Page{Until: until, Limit: 100}); err != nil {
			return nil, nil, err
		}
		for i := range before {
			if before[i].CanRollBack {
				return on.Client, &before[i], nil
			}
		}
	}
	return nil, nil, errNoEarlier
}

// nothingLive returns the error of a rollback without a production deployment; its hint
// is the command that publishes one.
func nothingLive(ctx context.Context, on *command.Site, ready client.DeploymentFilter) error {
	err := errNoEarlier.With("no deployment serves production of %s", on.Project.Name)
	list, _, failed := on.Client.Deployments(ctx, ready, client.Page{Limit: 1})
	switch {
	case failed != nil:
		return failed
	case len(list) == 0:
		return err.WithHint("create one with `lateen deploy --prod`")
	}
	return err.WithHint("promote the newest deployment with `lateen promote %s`", command.WithoutScheme(list[0].SiteURL))
}
