package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/framework"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// link is the link of a directory to a project: .vercel/project.json, which the vercel
// CLI also reads and writes.
type link struct {
	Project lateen.ProjectID `json:"projectId"`
	Team    lateen.TeamID    `json:"orgId"`
	Name    string           `json:"projectName,omitempty"`
	// Settings are the settings that `vercel build` would otherwise request from a server.
	Settings *linkSettings `json:"settings,omitempty"`
}

type linkSettings struct {
	lateen.ProjectSettings

	CreatedAt lateen.Millis `json:"createdAt"`
}

// real reports whether a link names a project. Others are written so that
// `vercel build` runs without a server: their ids are too short to be any.
func (l *link) real() bool { return l != nil && len(l.Project) > 20 && len(l.Team) > 20 }

var errLinkedElsewhere = &lateen.Error{Code: lateen.Conflict, Reason: "linked_elsewhere", Message: "the linked project does not exist on this platform", Hint: "link the directory again with `lateen link --yes`, or name a project with --project"}

func linkFile(dir string) string { return filepath.Join(dir, ".vercel", "project.json") }

// readLink returns the link of a directory, nil if it has none.
func readLink(dir string) (*link, error) {
	b, err := os.ReadFile(linkFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the link of %s: %w", dir, err)
	}
	var l link
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, errNotLinked.With("%s is malformed: %s", linkFile(dir), err).WithHint("remove it, then link the directory with `lateen link`")
	}
	return &l, nil
}

// writeLink links a directory to a project. It preserves unknown fields.
func (s *session) writeLink(dir string, p *client.Project, fw framework.Framework) error {
	fields := map[string]any{}
	if old, err := os.ReadFile(linkFile(dir)); err == nil {
		_ = json.Unmarshal(old, &fields) // malformed fields are replaced
	}
	fields["projectId"], fields["orgId"], fields["projectName"] = p.ID, p.Team, p.Name
	if fields["settings"] == nil {
		settings := linkSettings{ProjectSettings: p.ProjectSettings, CreatedAt: p.CreatedAt}
		if settings.Framework == nil && fw.Slug != "" {
			settings.Framework = &fw.Slug
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
	return ignore(dir, ".vercel")
}

// ignore adds a name to .gitignore in a directory of a Git repository.
func ignore(dir, name string) error {
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

// projectName derives a project name from a directory name.
func projectName(dir string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' {
			return r
		}
		return '-'
	}, strings.ToLower(filepath.Base(dir)))
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	name = strings.Trim(name[:min(len(name), 100)], "-._")
	if lateen.Label(name) == "" {
		return "app"
	}
	return name
}

// site is a project to act on, and a client that acts for its team.
type site struct {
	client  *client.Client
	project *client.Project
}

// site returns the project of --project, or the linked project of a directory. A flag
// or the environment overrides the team of the link; the link overrides the team of
// `lateen teams switch`.
func (s *session) site(ctx context.Context, dir string) (*site, error) {
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	if s.Flags.Project != "" {
		p, err := c.Project(ctx, s.Flags.Project)
		return &site{c, p}, err
	}
	l, err := readLink(dir)
	if err != nil {
		return nil, err
	}
	if !l.real() {
		return nil, errNotLinked
	}
	asked, err := s.Asked()
	if err != nil {
		return nil, err
	}
	if asked.Team == "" {
		c.Team = string(l.Team)
	}
	p, err := c.Project(ctx, string(l.Project))
	switch {
	case asked.Team != "" && errors.Is(err, lateen.ErrTeamNotFound):
		return nil, lateen.ErrTeamNotFound.With("you are not a member of team %q", c.Team).WithHint("list your teams with `lateen teams ls`")
	case asked.Team != "" && errors.Is(err, lateen.ErrProjectNotFound):
		return nil, errLinkedElsewhere.With("the linked project %s is not in team %s", cmp.Or(l.Name, string(l.Project)), c.Team)
	case errors.Is(err, lateen.ErrProjectNotFound), errors.Is(err, lateen.ErrTeamNotFound):
		return nil, errLinkedElsewhere.With("the linked project %s is not visible to you at %s", cmp.Or(l.Name, string(l.Project)), c.BaseURL).
			WithHint("ask an owner of its team for an invitation (`lateen members invite`), link the directory again with `lateen link --yes`, or name a project with --project")
	}
	return &site{c, p}, err
}

// here returns the project of the directory that commands act in.
func (s *session) here(ctx context.Context) (*site, error) {
	dir, err := s.Path("")
	if err != nil {
		return nil, err
	}
	return s.site(ctx, dir)
}

func newLinkCommand(s *session) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:     "link [name]",
		GroupID: command.Deploy,
		Short:   "Link this directory to a project",
		Long: "Links this directory to a project, which is created if it does not exist. The\n" +
			"default name is the name of the directory.\n\n" +
			"The link is stored in .vercel/project.json, in the format of the vercel CLI, so that\n" +
			"`vercel build` needs no server.",
		Example: "lateen link\nlateen link shop\nlateen link shop --team acme",
		Args:    command.Takes(0, 1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := s.Path("")
			if err != nil {
				return err
			}
			name := s.Flags.Project
			if len(args) > 0 {
				name = args[0]
			}
			return s.runLink(c.Context(), dir, name, yes)
		},
	}
	s.projectFlag(c)
	command.YesFlag(c, &yes)
	return c
}

func (s *session) runLink(ctx context.Context, dir, name string, yes bool) error {
	c, err := s.Client()
	if err != nil {
		return err
	}
	if name == "" {
		name = projectName(dir)
		if l, err := readLink(dir); err == nil && l.real() && l.Name != "" {
			name = l.Name
		}
		if !yes && s.Term.Interactive() {
			if name, err = s.Ask(ctx, "Project", name); err != nil {
				return err
			}
		}
	}
	if err := s.confirmLink(ctx, c, dir, name, yes); err != nil {
		return err
	}
	p, made, err := s.linkTo(ctx, c, dir, name)
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		return s.Term.JSON(p)
	}
	s.tellLinked(dir, p, made)
	return nil
}

// confirmLink asks for confirmation before it replaces the link of a directory and, at
// a terminal, before it creates a project whose name may be misspelled.
func (s *session) confirmLink(ctx context.Context, c *client.Client, dir, name string, yes bool) error {
	if yes {
		return nil
	}
	l, err := readLink(dir)
	if err != nil {
		return err
	}
	p, err := c.Project(ctx, name)
	missing := errors.Is(err, lateen.ErrProjectNotFound)
	if err != nil && !missing {
		return err
	}
	bold := func(text string) string { return terminal.Paint(terminal.Bold, text) }
	switch {
	case l.real() && (missing || p.ID != l.Project):
		now := cmp.Or(l.Name, string(l.Project))
		if !s.Term.Interactive() {
			return errLinkedElsewhere.With("the directory is linked to %s", now).WithHint("link it to %s instead with --yes", name)
		}
		return s.Confirm(ctx, false, fmt.Sprintf("The directory is linked to %s. Link it to %s instead?", bold(now), bold(name)))
	case missing && name != projectName(dir) && s.Term.Interactive():
		return s.Confirm(ctx, false, fmt.Sprintf("Project %s does not exist. Create it?", bold(name)))
	}
	return nil
}

func (s *session) tellLinked(dir string, p *client.Project, made bool) {
	fresh := ""
	if made {
		fresh = ", a new project"
	}
	s.Term.Donef("Linked %s to %s%s", filepath.Base(dir), terminal.Paint(terminal.Bold, p.Name), fresh)
}

// linkTo links a directory to the project with the name, and creates the project if it
// does not exist.
func (s *session) linkTo(ctx context.Context, c *client.Client, dir, name string) (p *client.Project, made bool, err error) {
	fw := framework.FrameworkOf(dir)
	p, err = c.Project(ctx, name)
	if errors.Is(err, lateen.ErrProjectNotFound) {
		var settings lateen.ProjectSettings
		if fw.Slug != "" {
			settings.Framework = &fw.Slug
		}
		p, err = c.CreateProject(ctx, name, settings)
		made = true
	}
	if err != nil {
		return nil, false, err
	}
	return p, made, s.writeLink(dir, p, fw)
}
