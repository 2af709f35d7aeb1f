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
	ErrLoggedOut = &lateen.Error{Code: lateen.Unauthenticated, Reason: "logged_out", Message: "nobody is logged in", Hint: "log in with `lateen login`, or pass a token by --token or LATEEN_TOKEN"}
	ErrNoHome    = &lateen.Error{Code: lateen.Invalid, Reason: "no_home", Message: "there is no directory for the settings of this user", Hint: "set HOME or XDG_CONFIG_HOME"}
)

// Asked is how to reach the platform as flags say, over the environment.
func (s *Session) Asked() (config.Client, error) {
	flags, env := s.Flags.Client, config.ClientEnv(s.Getenv)
	if err := errors.Join(flags.Validate(), env.Validate()); err != nil {
		return config.Client{}, err
	}
	return flags.Over(env), nil
}

// Settings are how to reach the platform: what was asked for over what
// `lateen login` kept over the platform on this machine.
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

// Keep writes how to reach a platform for later commands.
func (s *Session) Keep(c config.Client) (file string, err error) {
	file = config.ClientFile(s.Getenv)
	if file == "" {
		return "", ErrNoHome
	}
	return file, WriteJSON(file, c)
}

// WriteJSON makes v the content of a file that its owner alone can read, in
// directories that are made where they are missing.
func WriteJSON(file string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("make a directory for %s: %w", filepath.Base(file), err)
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
		return nil, ErrLoggedOut.With("nobody is logged in to %s", settings.API)
	}
	return s.Connect(settings), nil
}

// Connect returns a client of the platform that c describes.
func (s *Session) Connect(c config.Client) *client.Client {
	return &client.Client{BaseURL: c.API, Token: c.Token, Team: c.Team, HTTP: s.process.HTTP, UserAgent: s.process.UserAgent}
}
