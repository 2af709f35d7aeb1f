package settings

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Alias returns the command `lateen alias`.
func Alias(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "alias",
		GroupID: command.Settings,
		Short:   "Manage aliases of deployments",
		Long: "An alias is a host that leads to a deployment. The platform creates aliases for\n" +
			"production and for branches; you can set others. Moving an alias takes effect at\n" +
			"once and interrupts no request.",
		Example: "lateen alias ls\n" +
			"lateen alias set shop-4k2j9x1ab-team.localhost beta   # beta.localhost\n" +
			"lateen alias rm beta.localhost",
	}
	command.Family(c)
	command.Adopt(c, newAliasListCommand(s), newAliasSetCommand(s), newAliasRemoveCommand(s))
	return c
}

func newAliasListCommand(s *session) *cobra.Command {
	var all bool
	var page command.PageFlags
	c := &cobra.Command{
		Use:   "ls",
		Short: "List aliases",
		Long: "Lists the aliases of the linked project, of the project that --project names, or of\n" +
			"the whole team.",
		Args: command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return s.listAliases(c.Context(), all, &page) },
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "list all aliases of the team")
	page.Add(c, 50, "aliases")
	s.ProjectFlag(c)
	return c
}

func (s *session) listAliases(ctx context.Context, all bool, page *command.PageFlags) error {
	api, project, err := s.Scope(ctx, all)
	if err != nil {
		return err
	}
	list := command.List[client.Alias]{
		Field: "aliases", Item: "alias host", Empty: "No aliases found.",
		Columns: []terminal.Column{{Title: "alias"}, {Title: "leads to"}, {Title: "since", Right: true, Drop: 1}},
		Row: func(a *client.Alias) []string {
			return []string{terminal.Paint(terminal.Code, a.SiteURL), terminal.Clean(cmp.Or(a.Redirect, a.Target.Host)), s.Age(a.UpdatedAt)}
		},
		Page: func(p client.Page) ([]client.Alias, lateen.Millis, error) { return api.Aliases(ctx, project, p) },
	}
	return list.Print(s.Session, page)
}

func newAliasSetCommand(s *session) *cobra.Command {
	var redirect string
	c := &cobra.Command{
		Use:   "set <url|id> <host>",
		Short: "Point a host at a deployment",
		Long: "Points a host at a deployment. A name without a dot is a host of the platform's own\n" +
			"domain. The DNS of any other host must lead to the platform.",
		Example: "lateen alias set shop-4k2j9x1ab-team.localhost beta\n" +
			"lateen alias set shop-4k2j9x1ab-team.localhost example.com --redirect www.example.com",
		Args:              command.Takes(2, 2, "the deployment and the host"),
		ValidArgsFunction: s.CompleteDeployments,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			name, path := splitURL(args[1])
			if path != "" {
				return command.ErrUsage.With("%s has a path", args[1]).WithHint("an alias is a host: `%s %s %s`", c.CommandPath(), args[0], name)
			}
			a, err := api.SetAlias(c.Context(), command.Host(args[0]), name, redirect)
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				if a, err = api.Alias(c.Context(), a.Host); err != nil {
					return err
				}
				return s.Term.JSON(a)
			}
			s.Term.Donef("%s leads to %s", a.Host, command.Host(cmp.Or(redirect, args[0])))
			s.Term.Answer(terminal.Paint(terminal.Code, a.SiteURL))
			return nil
		},
	}
	c.Flags().StringVar(&redirect, "redirect", "", "redirect requests to `host`, with status 307")
	return c
}

// splitURL returns the host of a URL, without its port, and its path without slashes at
// the ends. A text that is no URL is a host.
func splitURL(text string) (name, path string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return command.Host(text), ""
	}
	return u.Hostname(), strings.Trim(u.Path, "/")
}

func newAliasRemoveCommand(s *session) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:               "rm <host>",
		Aliases:           []string{"remove"},
		Short:             "Remove an alias",
		Long:              "Removes an alias. Requests to its host are answered with 404 from then on. A name\nwithout a dot is a host of the platform's own domain.",
		Args:              command.Takes(1, 1, "the host"),
		ValidArgsFunction: s.completeAliases,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			name, _ := splitURL(args[0])
			alias, err := api.Alias(c.Context(), name)
			if err != nil {
				return err
			}
			name = alias.Host
			d, err := api.Deployment(c.Context(), name)
			if err != nil && !command.IsGone(err) {
				return err
			}
			if err == nil && d.Live {
				s.Term.Warnf("%s leads to production of %s and will answer 404. Set it again with `%s`.", name, d.Name, aliasAgain(d, name))
			}
			return s.Remove(c.Context(), yes, command.Removal{
				Question: fmt.Sprintf("Remove %s?", terminal.Paint(terminal.Bold, name)),
				Remove:   func(ctx context.Context) error { return api.RemoveAlias(ctx, name) },
				Done:     "Removed " + name,
			})
		},
	}
	command.YesFlag(c, &yes)
	return c
}

// aliasAgain returns the command that restores a removed alias: a promotion for hosts
// that the platform generates.
func aliasAgain(d *client.Deployment, host string) string {
	if _, domain, ok := strings.Cut(d.Host, "."); ok && strings.HasSuffix(host, "."+domain) {
		return "lateen promote " + d.Host
	}
	return "lateen alias set " + d.Host + " " + host
}

// completeAliases completes the host of an alias.
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
