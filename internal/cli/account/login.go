package account

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Login returns the command `lateen login`.
func Login(with *command.Session) *cobra.Command {
	s := &session{with}
	var vercel, yes bool
	var vercelDir, invitation, username string
	c := &cobra.Command{
		Use:     "login [url]",
		GroupID: command.Platform,
		Short:   "Log in to a platform",
		Long: "Checks a token and stores it with the URL of its platform for later commands. The\n" +
			"token is read from --token, standard input or a prompt. `lateen up` logs in on its\n" +
			"own machine; the token of the owner is in the file `token` of the data directory.\n\n" +
			"With --invite, a logged-in user accepts an invitation and joins the team. Without a\n" +
			"login, a user is created and logged in.\n\n" +
			"With --vercel, the unmodified vercel CLI is logged in too. To keep its login at\n" +
			"vercel.com, pass a separate directory: `lateen login -Q DIR`, `vercel -Q DIR`.",
		Example: "lateen login https://api.example.com\n" +
			"lateen login < /var/lib/lateen/token   # on the machine of the platform\n" +
			"lateen login https://api.example.com --invite lti_…\n" +
			"lateen login --vercel                  # also log in the vercel CLI",
		Args: command.Takes(0, 1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				s.Flags.Client.API = args[0]
			}
			if vercelDir == "" && vercel {
				vercelDir = config.VercelDir(s.Getenv, runtime.GOOS)
				if vercelDir == "" {
					return command.ErrNoHome
				}
			}
			if invitation != "" {
				if err := s.accept(c.Context(), invitation, username); err != nil {
					return err
				}
			}
			return s.runLogin(c.Context(), vercelDir, yes)
		},
	}
	c.Flags().StringVar(&invitation, "invite", "", "accept an `invitation` from `lateen members invite`")
	c.Flags().StringVar(&username, "username", "", "with --invite: create a user with this `name`, even if you are logged in")
	c.Flags().BoolVar(&vercel, "vercel", false, "also log in the vercel CLI")
	c.Flags().StringVarP(&vercelDir, "global-config", "Q", "", "settings `directory` of the vercel CLI; implies --vercel")
	command.YesFlag(c, &yes)
	return c
}

// loginReport is the answer of login and whoami.
type loginReport struct {
	API   string        `json:"api"`
	User  lateen.User   `json:"user"`
	Team  *client.Team  `json:"team,omitempty"`
	Teams []client.Team `json:"teams"`
	File  string        `json:"file,omitempty"` // where the token is kept
}

// runLogin logs in and, unless vercelDir is "", also logs in the vercel CLI with settings
// in vercelDir.
func (s *session) runLogin(ctx context.Context, vercelDir string, yes bool) error {
	asked, err := s.Settings()
	if err != nil {
		return err
	}
	explicit, err := s.Asked()
	if err != nil {
		return err
	}
	kept := asked.Token
	if asked.Token = explicit.Token; asked.Token == "" { // the one that is kept is not meant, unless it is for the vercel CLI
		if asked.Token, err = s.loginToken(ctx, asked.API, kept, vercelDir != ""); err != nil {
			return err
		}
	}
	report, err := s.identify(ctx, asked)
	if err != nil {
		return err
	}
	if report.File, err = s.Keep(asked); err != nil {
		return err
	}
	s.Term.Donef("Logged in to %s as %s", terminal.Paint(terminal.Code, asked.API), terminal.Paint(terminal.Bold, report.User.Username))
	if vercelDir != "" {
		if err := s.loginVercel(ctx, asked, report, vercelDir, yes); err != nil {
			return err
		}
	}
	if s.Flags.JSON {
		return s.Term.JSON(report)
	}
	return nil
}

// loginToken reads a token from standard input or a prompt. For a login of the vercel
// CLI, the stored token is the default.
func (s *session) loginToken(ctx context.Context, api, kept string, vercel bool) (string, error) {
	if vercel && kept != "" && s.Term.Interactive() {
		return kept, nil
	}
	secret, err := s.ReadSecret(ctx, "Token for "+api+":")
	if err != nil {
		return "", err
	}
	if secret = strings.TrimSpace(secret); secret == "" && vercel {
		secret = kept
	}
	if secret == "" {
		return "", lateen.ErrTokenInvalid.With("token missing").
			WithHint("pass it with --token or on standard input; the token of the owner is in the file `token` of the data directory")
	}
	return secret, nil
}

// accept uses an invitation and lets runLogin log in as the user that joined.
func (s *session) accept(ctx context.Context, invitation, username string) error {
	settings, err := s.Settings()
	if err != nil {
		return err
	}
	settings.Team = ""
	kept, err := config.ReadClient(config.ClientFile(s.Getenv))
	if err != nil {
		return err
	}
	asked, err := s.Asked()
	if err != nil {
		return err
	}
	if settings.Token != "" && username == "" && (asked.Token != "" || kept.API == settings.API) {
		team, err := s.Connect(settings).Join(ctx, invitation)
		if err != nil {
			return err
		}
		s.Flags.Client.Token = settings.Token
		s.Term.Donef("Joined team %s as %s", terminal.Paint(terminal.Bold, team.Slug), strings.ToLower(string(team.Membership.Role)))
		return nil
	}
	settings.Token = ""
	s.Flags.Client.Token, err = s.Connect(settings).AcceptInvitation(ctx, invitation, username, "")
	return err
}

// identify asks the platform for the user and the team of a token.
func (s *session) identify(ctx context.Context, c config.Client) (*loginReport, error) {
	api := s.Connect(c)
	user, err := api.WhoAmI(ctx)
	if err != nil {
		return nil, err
	}
	teams, err := api.Teams(ctx)
	if err != nil {
		return nil, err
	}
	report := &loginReport{API: c.API, User: user.User, Teams: teams}
	for i := range teams {
		t := &teams[i]
		if c.Team == string(t.ID) || c.Team == t.Slug || c.Team == "" && (user.DefaultTeam == "" || user.DefaultTeam == t.ID) {
			report.Team = t
			return report, nil
		}
	}
	if c.Team != "" {
		return nil, lateen.ErrTeamNotFound.With("%s is not a member of team %q", user.Username, c.Team).WithHint("choose a team with --team: %s", slugs(teams))
	}
	return report, nil
}

func slugs(teams []client.Team) string {
	list := make([]string, 0, len(teams))
	for _, t := range teams {
		list = append(list, t.Slug)
	}
	return strings.Join(list, ", ")
}

// loginVercel logs in the vercel CLI with settings in dir. If it is logged in to another
// platform, loginVercel asks for confirmation.
func (s *session) loginVercel(ctx context.Context, c config.Client, report *loginReport, dir string, yes bool) error {
	dir, err := s.Path(dir)
	if err != nil {
		return err
	}
	now, err := readVercel(dir)
	if err != nil {
		return err
	}
	if now.token != "" && now.api() != c.API {
		if err := s.Confirm(ctx, yes, fmt.Sprintf("The vercel CLI is logged in to %s. Log it in here instead?", now.api())); err != nil {
			return err
		}
	}
	var team lateen.TeamID
	if report.Team != nil {
		team = report.Team.ID
	}
	if err := now.write(c, team); err != nil {
		return err
	}
	s.Term.Donef("Logged in the vercel CLI")
	return nil
}

// Logout returns the command `lateen logout`.
func Logout(with *command.Session) *cobra.Command {
	s := &session{with}
	var revoke bool
	c := &cobra.Command{
		Use:     "logout",
		GroupID: command.Platform,
		Short:   "Log out and delete the stored token",
		Long: "Deletes the token that `lateen login` stored. The token stays valid, unless --revoke\n" +
			"revokes it.",
		Args: command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return s.runLogout(c.Context(), revoke)
		},
	}
	c.Flags().BoolVar(&revoke, "revoke", false, "also revoke the token")
	return c
}

func (s *session) runLogout(ctx context.Context, revoke bool) error {
	file := config.ClientFile(s.Getenv)
	kept, err := config.ReadClient(file)
	if err != nil {
		return err
	}
	if kept.Token == "" {
		s.Term.Linef("Not logged in.")
		return nil
	}
	if revoke {
		if err := s.Connect(kept).RevokeToken(ctx, "current"); err != nil && !errors.Is(err, lateen.ErrTokenInvalid) {
			return err
		}
	}
	if _, err := s.Keep(config.Client{API: kept.API}); err != nil {
		return err
	}
	s.Term.Donef("Logged out of %s", terminal.Paint(terminal.Code, kept.API))
	return nil
}

// Whoami returns the command `lateen whoami`.
func Whoami(with *command.Session) *cobra.Command {
	s := &session{with}
	return &cobra.Command{
		Use:     "whoami",
		GroupID: command.Platform,
		Short:   "Show the current user, team and API address",
		Long:    "Prints the name of the current user to standard output, and the team and the API\naddress to standard error.",
		Args:    command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := s.Settings()
			if err != nil {
				return err
			}
			if _, err := s.Client(); err != nil {
				return err
			}
			report, err := s.identify(c.Context(), settings)
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(report)
			}
			s.Term.Answer(report.User.Username)
			if report.Team != nil {
				s.Term.Linef("%s", terminal.Paint(terminal.Dim, "team "+report.Team.Slug+" at "+report.API))
			}
			return nil
		},
	}
}
