package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/config"
)

// Errors of reaching a platform.
var (
	ErrLoggedOut = &lateen.Error{Code: lateen.Unauthenticated, Reason: "logged_out", Message: "not logged in", Hint: "log in with `lateen login`, or pass a token with --token or LATEEN_TOKEN"}
	ErrNoHome    = &lateen.Error{Code: lateen.Invalid, Reason: "no_home", Message: "settings directory of this user unknown", Hint: "set HOME or XDG_CONFIG_HOME"}
)

// Asked returns the platform and the login of flags, which override the environment.
func (s *Session) Asked() (config.Client, error) {
	flags, env := s.Flags.Client, config.ClientEnv(s.Getenv)
	if err := errors.Join(flags.Validate(), env.Validate()); err != nil {
		return config.Client{}, err
	}
	return flags.Over(env), nil
}

// Settings returns the platform and the login to use: flags and the environment override
// the stored login, which overrides the platform on this machine.
func (s *Session) Settings() (config.Client, error) {
	kept, err := config.ReadClient(config.ClientFile(s.Getenv))
	if err != nil {
		return config.Client{}, err
	}
	if kept.API == "" {
		kept.API = config.Default(s.Getenv).LocalURL()
	}
	asked, err := s.Asked()
	return asked.Over(kept), err
}

// Keep stores a login for later commands.
func (s *Session) Keep(c config.Client) (file string, err error) {
	file = config.ClientFile(s.Getenv)
	if file == "" {
		return "", ErrNoHome
	}
	return file, WriteJSON(file, c)
}

// WriteJSON writes v to a file that only its owner can read, and creates missing
// directories.
func WriteJSON(file string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("create a directory for %s: %w", filepath.Base(file), err)
	}
	return atomicfile.Write(file, append(b, '\n'), 0o600)
}

// Client returns a client of the platform that acts with the user's token.
func (s *Session) Client() (*client.Client, error) {
	settings, err := s.Settings()
	if err != nil {
		return nil, err
	}
	if settings.Token == "" {
		return nil, ErrLoggedOut.With("not logged in to %s", settings.API)
	}
	return s.Connect(settings), nil
}

// Connect returns a client of the platform that c describes.
func (s *Session) Connect(c config.Client) *client.Client {
	return &client.Client{BaseURL: c.API, Token: c.Token, Team: c.Team, HTTP: s.process.HTTP, UserAgent: s.process.UserAgent}
}
