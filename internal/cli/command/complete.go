package command

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

// NoFiles tells a shell to complete no file names.
const NoFiles = cobra.ShellCompDirectiveNoFileComp

// Complete returns those names of the platform that begin with prefix. A name can
// have a description after a tab. Without an answer of the platform there are none.
func (s *Session) Complete(c *cobra.Command, prefix string, names func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completeTime)
	defer cancel()
	api, err := s.Client()
	if err != nil {
		return nil, NoFiles
	}
	all, err := names(ctx, api)
	if err != nil {
		return nil, NoFiles
	}
	var list []string
	for _, name := range all {
		if strings.HasPrefix(name, prefix) {
			list = append(list, name)
		}
	}
	return list, NoFiles
}

// CompleteFirst completes the first argument alone.
func CompleteFirst(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, NoFiles
		}
		return complete(c, args, prefix)
	}
}

// CompleteTargets completes the environments that every project has.
func CompleteTargets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{string(lateen.Production), string(lateen.Preview), string(lateen.Development)}, NoFiles
}

// CompleteProjects completes the name of a project.
func (s *Session) CompleteProjects(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
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

// CompleteDeployments completes the host or the id of a deployment; `rm` takes several.
func (s *Session) CompleteDeployments(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 && c.Name() != "rm" {
		return nil, NoFiles
	}
	return s.Complete(c, prefix, func(ctx context.Context, api *client.Client) ([]string, error) {
		var filter client.DeploymentFilter
		if on, err := s.Here(ctx); err == nil {
			filter.Project, api = on.Project.ID, on.Client
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
