package account

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
)

// completeTokens completes the name of a token.
func (s *session) completeTokens(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.Complete(c, prefix, func(ctx context.Context, api *client.Client) ([]string, error) {
		tokens, err := api.Tokens(ctx)
		if err != nil {
			return nil, err
		}
		names := make([]string, 0, len(tokens))
		for i := range tokens {
			names = append(names, tokens[i].Name+"\t"+string(tokens[i].Scope))
		}
		return names, nil
	})
}

// completeTeams completes the slug of a team.
func (s *session) completeTeams(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.Complete(c, prefix, func(ctx context.Context, api *client.Client) ([]string, error) {
		teams, err := api.Teams(ctx)
		if err != nil {
			return nil, err
		}
		names := make([]string, 0, len(teams))
		for i := range teams {
			names = append(names, teams[i].Slug+"\t"+teams[i].Name)
		}
		return names, nil
	})
}

// completeMembers completes the username of a member.
func (s *session) completeMembers(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.Complete(c, prefix, func(ctx context.Context, api *client.Client) ([]string, error) {
		_, t, err := s.team(ctx, nil)
		if err != nil {
			return nil, err
		}
		members, _, err := api.Members(ctx, string(t.ID))
		if err != nil {
			return nil, err
		}
		names := make([]string, 0, len(members))
		for i := range members {
			names = append(names, members[i].Username+"\t"+string(members[i].Role))
		}
		return names, nil
	})
}

// completeMemberRole completes the username of a member, then a role.
func (s *session) completeMemberRole(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return s.completeMembers(c, args, prefix)
	case 1:
		return completeRoles(c, args, prefix)
	}
	return nil, command.NoFiles
}

func completeRoles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, role := range lateen.Roles() {
		names = append(names, strings.ToLower(string(role)))
	}
	return names, command.NoFiles
}

func completeScopes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, scope := range lateen.Scopes() {
		names = append(names, string(scope))
	}
	return names, command.NoFiles
}
