package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
)

// completeTargets completes the environments that every project has.
func completeTargets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{string(lateen.Production), string(lateen.Preview), string(lateen.Development)}, command.NoFiles
}

// completeAfterFirst completes every argument but the first.
func completeAfterFirst(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, command.NoFiles
		}
		return complete(c, args, prefix)
	}
}

func (s *session) completeProjects(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.Complete(c, prefix, func(ctx context.Context, api *client.Client) ([]string, error) {
		projects, _, err := api.Projects(ctx, prefix, client.Page{Limit: 100})
		if err != nil {
			return nil, err
		}
		var names []string
		for i := range projects {
			names = append(names, projects[i].Name)
		}
		return names, nil
	})
}

func (s *session) completeDeployments(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 && c.Name() != "rm" {
		return nil, command.NoFiles
	}
	return s.Complete(c, prefix, func(ctx context.Context, api *client.Client) ([]string, error) {
		var filter client.DeploymentFilter
		if on, err := s.here(ctx); err == nil {
			filter.Project, api = on.project.ID, on.client
		}
		deployments, _, err := api.Deployments(ctx, filter, client.Page{Limit: 50})
		if err != nil {
			return nil, err
		}
		var names []string
		for i := range deployments {
			d := &deployments[i]
			about := string(d.Environment()) + " " + strings.ToLower(string(d.State)) + " " + s.Age(d.CreatedAt)
			names = append(names, d.Host+"\t"+about, string(d.ID)+"\t"+about)
		}
		return names, nil
	})
}

func (s *session) completeAliases(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.Complete(c, prefix, func(ctx context.Context, api *client.Client) ([]string, error) {
		aliases, _, err := api.Aliases(ctx, "", client.Page{Limit: 100})
		if err != nil {
			return nil, err
		}
		var names []string
		for _, a := range aliases {
			names = append(names, a.Host+"\t"+a.Target.Host)
		}
		return names, nil
	})
}

// completeEnv completes a variable, then one of its environments.
func (s *session) completeEnv(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return completeTargets(c, args, prefix)
	}
	return s.Complete(c, prefix, func(ctx context.Context, _ *client.Client) ([]string, error) {
		on, err := s.here(ctx)
		if err != nil {
			return nil, err
		}
		vars, err := on.client.EnvVars(ctx, string(on.project.ID), "")
		if err != nil {
			return nil, err
		}
		var names []string
		for _, v := range vars {
			names = append(names, v.Key+"\t"+v.Environments())
		}
		return names, nil
	})
}
