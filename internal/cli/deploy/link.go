package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/framework"
	"github.com/lateen-dev/lateen/internal/terminal"
)

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

// Link returns the command `lateen link`.
func Link(with *command.Session) *cobra.Command {
	s := &session{with}
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
				if name != "" && name != args[0] {
					return command.ErrUsage.With("the project is named twice: %s, and %s by --project", args[0], name)
				}
				name = args[0]
			}
			return s.runLink(c.Context(), dir, name, yes)
		},
	}
	s.ProjectFlag(c)
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
		if l, err := command.ReadLink(dir); err == nil && l.Real() && l.Name != "" {
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
	l, err := command.ReadLink(dir)
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
	case l.Real() && (missing || p.ID != l.Project):
		now := cmp.Or(l.Name, string(l.Project))
		if now == name {
			now += " of another team or platform"
		}
		if !s.Term.Interactive() {
			return command.ErrLinkedElsewhere.With("the directory is linked to %s", now).WithHint("link it to %s instead with --yes", name)
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
	return p, made, command.WriteLink(dir, p, fw.Slug)
}
