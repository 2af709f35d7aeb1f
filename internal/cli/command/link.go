package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// Errors of the link of a directory.
var (
	ErrNotLinked       = &lateen.Error{Code: lateen.Invalid, Reason: "not_linked", Message: "the directory is not linked to a project", Hint: "link it with `lateen link`, or name a project with --project"}
	ErrLinkedElsewhere = &lateen.Error{Code: lateen.Conflict, Reason: "linked_elsewhere", Message: "the linked project does not exist on this platform", Hint: "link the directory again with `lateen link --yes`, or name a project with --project"}
)

// Link is the link of a directory to a project: .vercel/project.json, which the vercel
// CLI also reads and writes.
type Link struct {
	Project lateen.ProjectID `json:"projectId"`
	Team    lateen.TeamID    `json:"orgId"`
	Name    string           `json:"projectName,omitempty"`
	// Settings are the settings that `vercel build` would otherwise request from a server.
	Settings *LinkSettings `json:"settings,omitempty"`
}

// LinkSettings are the settings of a project in a [Link].
type LinkSettings struct {
	lateen.ProjectSettings

	CreatedAt lateen.Millis `json:"createdAt"`
}

// Real reports whether a link names a project. Others are written so that
// `vercel build` runs without a server: their ids are too short to be any.
func (l *Link) Real() bool { return l != nil && len(l.Project) > 20 && len(l.Team) > 20 }

func linkFile(dir string) string { return filepath.Join(dir, ".vercel", "project.json") }

// ReadLink returns the link of a directory, nil if it has none.
func ReadLink(dir string) (*Link, error) {
	b, err := os.ReadFile(linkFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the link of %s: %w", dir, err)
	}
	var l Link
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, ErrNotLinked.With("%s is malformed: %s", linkFile(dir), err).WithHint("remove it, then link the directory with `lateen link`")
	}
	return &l, nil
}

// WriteLink links a directory to a project. framework is the one of the directory, or "". It
// preserves unknown fields.
func WriteLink(dir string, p *client.Project, framework string) error {
	fields := map[string]any{}
	if old, err := os.ReadFile(linkFile(dir)); err == nil {
		_ = json.Unmarshal(old, &fields) // malformed fields are replaced
	}
	fields["projectId"], fields["orgId"], fields["projectName"] = p.ID, p.Team, p.Name
	if fields["settings"] == nil {
		settings := LinkSettings{ProjectSettings: p.ProjectSettings, CreatedAt: p.CreatedAt}
		if settings.Framework == nil && framework != "" {
			settings.Framework = &framework
		}
		fields["settings"] = settings
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("link %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".vercel"), 0o755); err != nil { //nolint:gosec // as the vercel CLI makes it
		return fmt.Errorf("link %s: %w", dir, err)
	}
	if err := atomicfile.Write(linkFile(dir), append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("link %s: %w", dir, err)
	}
	return Ignore(dir, ".vercel")
}

// Ignore adds a name to .gitignore in a directory of a Git repository.
func Ignore(dir, name string) error {
	file := filepath.Join(dir, ".gitignore")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err != nil {
			return nil // no Git here
		}
	} else if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Trim(strings.TrimSpace(line), "/") == name {
			return nil
		}
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	return os.WriteFile(file, append(text, name+"\n"...), 0o644) //nolint:gosec // a file of the repository
}
