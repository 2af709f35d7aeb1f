package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

// completeTime is how long a shell waits for names.
const completeTime = 2 * time.Second

const noFiles = cobra.ShellCompDirectiveNoFileComp

// completeTargets completes the environments that every project has.
func completeTargets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{lateen.Production, lateen.Preview, lateen.Development}, noFiles
}

// completeAfterFirst completes every argument but the first.
func completeAfterFirst(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, noFiles
		}
		return complete(c, args, prefix)
	}
}

// complete asks the platform for names; whatever goes wrong, there are none.
func (s *session) complete(c *cobra.Command, prefix string, names func(context.Context, *client.Client) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completeTime)
	defer cancel()
	api, err := s.Client()
	if err != nil {
		return nil, noFiles
	}
	var list []string
	for _, name := range names(ctx, api) {
		if strings.HasPrefix(name, prefix) {
			list = append(list, name)
		}
	}
	return list, noFiles
}

func (s *session) completeProjects(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.complete(c, prefix, func(ctx context.Context, api *client.Client) []string {
		projects, _, err := api.Projects(ctx, prefix, client.Page{Limit: 100})
		if err != nil {
			return nil
		}
		var names []string
		for i := range projects {
			names = append(names, projects[i].Name)
		}
		return names
	})
}

func (s *session) completeDeployments(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 && c.Name() != "rm" {
		return nil, noFiles
	}
	return s.complete(c, prefix, func(ctx context.Context, api *client.Client) []string {
		var filter client.DeploymentFilter
		if on, err := s.here(ctx); err == nil {
			filter.Project, api = on.project.ID, on.client
		}
		deployments, _, err := api.Deployments(ctx, filter, client.Page{Limit: 50})
		if err != nil {
			return nil
		}
		var names []string
		for i := range deployments {
			d := &deployments[i]
			about := d.Environment() + " " + strings.ToLower(string(d.State)) + " " + s.Age(d.CreatedAt)
			names = append(names, d.Host+"\t"+about, string(d.ID)+"\t"+about)
		}
		return names
	})
}

func (s *session) completeAliases(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.complete(c, prefix, func(ctx context.Context, api *client.Client) []string {
		aliases, _, err := api.Aliases(ctx, "", client.Page{Limit: 100})
		if err != nil {
			return nil
		}
		var names []string
		for _, a := range aliases {
			names = append(names, a.Host+"\t"+a.Target.Host)
		}
		return names
	})
}

// completeEnv completes a variable, then one of its environments.
func (s *session) completeEnv(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return completeTargets(c, args, prefix)
	}
	return s.complete(c, prefix, func(ctx context.Context, _ *client.Client) []string {
		on, err := s.here(ctx)
		if err != nil {
			return nil
		}
		vars, err := on.client.EnvVars(ctx, string(on.project.ID), "")
		if err != nil {
			return nil
		}
		var names []string
		for _, v := range vars {
			names = append(names, v.Key+"\t"+strings.Join(v.Target, ", "))
		}
		return names
	})
}
