package account

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Token returns the command `lateen token`.
func Token(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "token",
		Aliases: []string{"tokens"},
		GroupID: command.Settings,
		Short:   "List, create and revoke tokens",
		Long: "A token authenticates a machine or a program as you, within a scope. Create a\n" +
			"separate token for each, so that you can revoke it separately.",
		Example: "lateen token ls\nlateen token add ci\nlateen token rm ci",
	}
	command.Family(c)
	command.Adopt(c, newTokenListCommand(s), newTokenAddCommand(s), newTokenRemoveCommand(s))
	return c
}

func newTokenListCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List tokens",
		Long:  "Lists your tokens. Their secrets are not stored and cannot be shown.",
		Args:  command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			tokens, err := api.Tokens(c.Context())
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(map[string]any{"tokens": tokens, "pagination": command.Pagination{Count: len(tokens)}})
			}
			named := projectNames(c.Context(), api)
			rows := make([][]string, 0, len(tokens))
			for i := range tokens {
				t := &tokens[i]
				rows = append(rows, []string{terminal.Paint(terminal.Bold, terminal.Clean(t.Name)), scopeText(t, named(t.Project)), s.expiry(t), string(t.ID), s.Age(t.CreatedAt), s.used(t)})
			}
			s.Term.Table([]terminal.Column{
				{Title: "name"}, {Title: "scope"}, {Title: "expires", Drop: 2}, {Title: "id", Drop: 1}, {Title: "created", Right: true, Drop: 4}, {Title: "used", Right: true, Drop: 3},
			}, rows)
			return nil
		},
	}
}

// scopeText is the scope of a token with the name of the project that it is limited to.
func scopeText(t *lateen.Token, project string) string {
	if t.Project == "" {
		return string(t.Scope)
	}
	return string(t.Scope) + " " + project
}

// projectNames returns a function from the id of a project to its name. A
// project that cannot be read, as one of another team, keeps its id.
func projectNames(ctx context.Context, api *client.Client) func(lateen.ProjectID) string {
	known := make(map[lateen.ProjectID]string)
	return func(id lateen.ProjectID) string {
		if _, ok := known[id]; !ok && id != "" {
			known[id] = string(id)
			if p, err := api.Project(ctx, string(id)); err == nil {
				known[id] = p.Name
			}
		}
		return known[id]
	}
}

// expiry is the expiry of a token.
func (s *session) expiry(t *lateen.Token) string {
	switch {
	case t.ExpiresAt == 0:
		return "never"
	case t.ExpiresAt.Time().Before(s.Time()):
		return terminal.Paint(terminal.Bad, "expired")
	}
	return t.ExpiresAt.Time().Format(time.DateOnly)
}

// used is the time since the last use of a token. An unused token has its creation time
// there.
func (s *session) used(t *lateen.Token) string {
	if t.ActiveAt == t.CreatedAt {
		return "never"
	}
	return s.Age(t.ActiveAt)
}

func newTokenAddCommand(s *session) *cobra.Command {
	var scope, expires string
	c := &cobra.Command{
		Use:   "add <name>",
		Short: "Create a token",
		Long: "Creates a token and prints its secret, which cannot be shown again.\n\n" +
			"Scopes: full allows everything that your role allows; read-only allows reads except\n" +
			"of secret values; project is limited to one project with its variables, deployments,\n" +
			"aliases and logs; deploy allows deployments, promotions and rollbacks of existing\n" +
			"projects; metrics allows only GET /metrics, for Prometheus.",
		Example: "lateen token add laptop\n" +
			"lateen token add ci --scope deploy --project shop --expires 90d\n" +
			"lateen token add prometheus --scope metrics",
		Args: command.Takes(1, 1, "the name of the token"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			request := client.TokenRequest{Name: args[0], Scope: lateen.Scope(scope), Project: s.Flags.Project}
			if request.ExpiresAt, err = s.after("--expires", expires); err != nil {
				return err
			}
			secret, made, err := api.CreateToken(c.Context(), request)
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(map[string]any{"token": made, "bearerToken": secret})
			}
			s.Term.Donef("Created token %s with scope %s. The secret cannot be shown again:", terminal.Paint(terminal.Bold, terminal.Clean(made.Name)), scopeText(made, projectNames(c.Context(), api)(made.Project)))
			s.Term.Answer(secret)
			return nil
		},
	}
	c.Flags().StringVar(&scope, "scope", "", "`scope` of the token: full, read-only, project, deploy or metrics (default: full, or project with --project)")
	_ = c.RegisterFlagCompletionFunc("scope", completeScopes) // fails for unknown flags only
	c.Flags().StringVarP(&s.Flags.Project, "project", "p", "", "limit the token to the project with this `name` or id")
	c.Flags().StringVar(&expires, "expires", "", "`time` until the token expires, as 12h, 30d, 2w or 1y (default: never)")
	return c
}

// mostUnits bounds the number before a unit of daysIn.
const mostUnits = 10_000

// daysIn is the length in days of the units of time that [time.ParseDuration] does not know.
var daysIn = map[string]int{"d": 1, "w": 7, "y": 365}

// after parses a duration such as 30d, 2w, 1y or 12h, and returns the time after it. ""
// is never, which is 0.
func (s *session) after(flag, text string) (lateen.Millis, error) {
	if text == "" {
		return 0, nil
	}
	if days, ok := daysIn[text[len(text)-1:]]; ok {
		if n, err := strconv.Atoi(text[:len(text)-1]); err == nil && n > 0 && n <= mostUnits {
			return lateen.MillisOf(s.Time().AddDate(0, 0, n*days)), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return lateen.MillisOf(s.Time().Add(d)), nil
	}
	return 0, command.ErrUsage.With("%s %q is malformed", flag, text).WithHint("use a duration such as 12h, 30d, 2w or 1y")
}

func newTokenRemoveCommand(s *session) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:               "rm <name|id>",
		Aliases:           []string{"remove"},
		Short:             "Revoke a token",
		Long:              "Revokes a token. Requests with it are refused at once.",
		Args:              command.Takes(1, 1, "the token"),
		ValidArgsFunction: command.CompleteFirst(s.completeTokens),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			t, err := findToken(c.Context(), api, args[0])
			if err != nil {
				return err
			}
			return s.Remove(c.Context(), yes, command.Removal{
				Question: fmt.Sprintf("Revoke token %s?", terminal.Paint(terminal.Bold, terminal.Clean(t.Name))),
				Remove:   func(ctx context.Context) error { return api.RevokeToken(ctx, string(t.ID)) },
				Done:     "Revoked token " + terminal.Clean(t.Name),
			})
		},
	}
	command.YesFlag(c, &yes)
	return c
}

// findToken returns the token of an id or, if it is the only one, of a name.
func findToken(ctx context.Context, api *client.Client, idOrName string) (*lateen.Token, error) {
	tokens, err := api.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	var found *lateen.Token
	for i := range tokens {
		t := &tokens[i]
		switch {
		case string(t.ID) == idOrName:
			return t, nil
		case t.Name != idOrName:
		case found != nil:
			return nil, lateen.ErrInvalid.With("token name %s is ambiguous", idOrName).WithHint("use an id from `lateen token ls`")
		default:
			found = t
		}
	}
	if found == nil {
		return nil, lateen.ErrTokenNotFound.WithHint("list your tokens with `lateen token ls`")
	}
	return found, nil
}
