package account

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
)

// vercelLogin is the login of a vercel CLI.
type vercelLogin struct {
	dir      string
	token    string         // "" where it is not
	settings map[string]any // of config.json
}

// readVercel reads the settings and the token of the vercel CLI in dir.
func readVercel(dir string) (*vercelLogin, error) {
	l := &vercelLogin{dir: dir}
	var err error
	if l.settings, err = readObject(filepath.Join(dir, "config.json")); err != nil {
		return nil, err
	}
	auth, err := readObject(filepath.Join(dir, "auth.json"))
	if err != nil {
		return nil, err
	}
	l.token, _ = auth["token"].(string)
	return l, nil
}

// api is the platform it talks to.
func (l *vercelLogin) api() string {
	api, _ := l.settings["api"].(string)
	return cmp.Or(api, "https://api.vercel.com")
}

// write logs the vercel CLI in to a platform. It preserves other settings.
func (l *vercelLogin) write(c config.Client, team lateen.TeamID) error {
	l.settings["api"] = c.API
	l.settings["credStorage"] = "file" // where the token is written below
	delete(l.settings, "currentTeam")
	if team != "" {
		l.settings["currentTeam"] = team
	}
	// Between the two writes, neither platform's token may reach the other platform.
	auth := filepath.Join(l.dir, "auth.json")
	if err := os.Remove(auth); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("log the vercel CLI out: %w", err)
	}
	if err := command.WriteJSON(filepath.Join(l.dir, "config.json"), l.settings); err != nil {
		return err
	}
	return command.WriteJSON(auth, map[string]string{"token": c.Token})
}

// readObject reads a file with a JSON object; a missing file is an empty object.
func readObject(file string) (map[string]any, error) {
	object := map[string]any{}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return object, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the settings of the vercel CLI: %w", err)
	}
	if err := json.Unmarshal(b, &object); err != nil {
		return nil, config.ErrInvalid.With("%s is not JSON", file).WithHint("repair or remove the file").Because(err)
	}
	return object, nil
}
