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
		Short:   "Keep a token for later commands",
		Long: "Checks a token and keeps it for later commands, with the URL of the platform it\n" +
			"belongs to. The token comes from --token, from standard input, or you are asked\n" +
			"for it. `lateen up` does this by itself on the machine it runs on; its token is in\n" +
			"the file `token` of the data directory.\n\n" +
			"With --invite an invitation is accepted: a logged-in user joins the\n" +
			"team; otherwise a user is created and logged in.\n\n" +
			"With --vercel the unmodified vercel CLI is logged in as well. Where it is logged in\n" +
			"elsewhere, as to vercel.com, give it a directory of its own: -Q DIR, here and there.",
		Example: "lateen login https://api.example.com\n" +
			"lateen login < /var/lib/lateen/token   # on the machine of the platform\n" +
			"lateen login https://api.example.com --invite lti_… # what `lateen members invite` printed\n" +
			"lateen login --vercel                  # vercel CLI too",
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
	c.Flags().StringVar(&invitation, "invite", "", "accept this `invitation`")
	c.Flags().StringVar(&username, "username", "", "with --invite: make a user of this `name`, even if you are logged in")
	c.Flags().BoolVar(&vercel, "vercel", false, "log the vercel CLI in as well")
	c.Flags().StringVarP(&vercelDir, "global-config", "Q", "", "`directory` of the vercel CLI's settings; implies --vercel")
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

// runLogin logs in here and, unless vercelDir is "", the vercel CLI whose
// settings are there.
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

// loginToken returns a token from standard input, or asks for it. Where the vercel
// CLI is to be logged in, the token that is kept does as well.
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
		return "", lateen.ErrTokenInvalid.With("no token was given").
			WithHint("pass it by --token or standard input; `lateen up` keeps one in the file `token` of its data directory")
	}
	return secret, nil
}

// accept uses an invitation and has runLogin log in as the user who joined.
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
		s.Term.Donef("Joined the team %s as %s", terminal.Paint(terminal.Bold, team.Slug), strings.ToLower(string(team.Membership.Role)))
		return nil
	}
	settings.Token = ""
	s.Flags.Client.Token, err = s.Connect(settings).AcceptInvitation(ctx, invitation, username, "")
	return err
}

// identify asks the platform who a token belongs to, and for which team it acts.
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
		return nil, lateen.ErrTeamNotFound.With("%s is in no team %q", user.Username, c.Team).WithHint("choose one with --team: %s", slugs(teams))
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

// loginVercel logs the vercel CLI in whose settings are in dir. Where it is
// logged in elsewhere, that is asked first.
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
	s.Term.Donef("The vercel CLI is logged in there too")
	return nil
}

// Logout returns the command `lateen logout`.
func Logout(with *command.Session) *cobra.Command {
	s := &session{with}
	var revoke bool
	c := &cobra.Command{
		Use:     "logout",
		GroupID: command.Platform,
		Short:   "Forget the token that is kept",
		Long: "Forgets the token that `lateen login` keeps. The token itself stays valid, unless\n" +
			"--revoke ends it everywhere.",
		Args: command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return s.runLogout(c.Context(), revoke)
		},
	}
	c.Flags().BoolVar(&revoke, "revoke", false, "end the token itself as well")
	return c
}

func (s *session) runLogout(ctx context.Context, revoke bool) error {
	file := config.ClientFile(s.Getenv)
	kept, err := config.ReadClient(file)
	if err != nil {
		return err
	}
	if kept.Token == "" {
		s.Term.Linef("Nobody is logged in.")
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
		Long:    "Prints the name of the user that commands act as, and to people also the team\nand the platform.",
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
