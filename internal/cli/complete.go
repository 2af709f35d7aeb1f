package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
)

// completeAfterFirst completes every argument but the first.
func completeAfterFirst(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, command.NoFiles
		}
		return complete(c, args, prefix)
	}
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
		return command.CompleteTargets(c, args, prefix)
	}
	return s.Complete(c, prefix, func(ctx context.Context, _ *client.Client) ([]string, error) {
		on, err := s.Here(ctx)
		if err != nil {
			return nil, err
		}
		vars, err := on.Client.EnvVars(ctx, string(on.Project.ID), "")
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
