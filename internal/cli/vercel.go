package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/config"
)

// writeVercel makes the vercel CLI whose settings are in dir talk to a
// platform. What else its settings say stays.
func writeVercel(dir string, c config.Client, team lateen.TeamID) error {
	settings, err := readObject(filepath.Join(dir, "config.json"))
	if err != nil {
		return err
	}
	settings["api"] = c.API
	settings["credStorage"] = "file" // where the token is written below
	delete(settings, "currentTeam")
	if team != "" {
		settings["currentTeam"] = team
	}
	// The token first: without one the other file would lead a logged-in user
	// of another platform to this one with a token that is not its.
	if err := writeJSON(filepath.Join(dir, "auth.json"), map[string]string{"token": c.Token}); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "config.json"), settings)
}

// readObject reads a file that holds a JSON object; one that is not there is
// an empty object.
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
		return nil, config.ErrInvalid.With("%s is not JSON", file).WithHint("mend or remove it").Because(err)
	}
	return object, nil
}
