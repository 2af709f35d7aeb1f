package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/source"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// deployFlags are how to deploy.
type deployFlags struct {
	prod       bool
	target     string
	env, meta  []string
	skipDomain bool
	noWait     bool
	yes        bool
}

func newDeployCommand(s *session) *cobra.Command {
	var f deployFlags
	c := &cobra.Command{
		Use:     "deploy [directory]",
		GroupID: command.Deploy,
		Short:   "Deploy what was built, and print its URL",
		Long: "Deploys the build output in .vercel/output of a directory and prints the URL of\n" +
			"the deployment. Only files that the platform does not have are uploaded.\n\n" +
			"The first time, the directory is linked to a project that has its name. A build\n" +
			"output is deployed to the environment that it was built for: a preview without\n" +
			"flags, production with --prod here and in `vercel build`. Where the output does not\n" +
			"say it, the first deployment of a project goes to production, others are previews.\n\n" +
			"`npx vercel build` makes a build output of any framework, in a directory that\n" +
			"`lateen link` has linked. Frameworks with an adapter for Vercel write it themselves.",
		Example: "lateen link && npx vercel build && lateen deploy\n" +
			"npx vercel build --prod && lateen deploy --prod\n" +
			"lateen deploy site --project shop --env API_URL=https://api.example.com\n" +
			"lateen deploy --prod --skip-domain   # staged, until it is promoted",
		Args: command.Takes(0, 1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := s.Path(strings.Join(args, ""))
			if err != nil {
				return err
			}
			return s.runDeploy(c.Context(), dir, &f)
		},
	}
	flags := c.Flags()
	flags.BoolVar(&f.prod, "prod", false, "deploy to production, as --target production")
	flags.StringVar(&f.target, "target", "", "`environment`: production, preview or a name of your own")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "`KEY=value` for this deployment's functions, over the project's; may be repeated")
	flags.StringArrayVarP(&f.meta, "meta", "m", nil, "`key=value` to find the deployment by; may be repeated")
	flags.BoolVar(&f.skipDomain, "skip-domain", false, "leave production where it is: stage it for a promotion")
	flags.BoolVar(&f.noWait, "no-wait", false, "return once everything is uploaded")
	flags.Bool("prebuilt", true, "deploy what was built, as always") // as people type it for the vercel CLI
	_ = flags.MarkHidden("prebuilt")                                 // fails for unknown flags only
	command.YesFlag(c, &f.yes)
	s.projectFlag(c)
	_ = c.RegisterFlagCompletionFunc("target", completeTargets) // fails for unknown flags only
	return c
}

func (s *session) runDeploy(ctx context.Context, dir string, f *deployFlags) error {
	env, err := pairs("--env", f.env)
	if err != nil {
		return err
	}
	meta, err := pairs("--meta", f.meta)
	if err != nil {
		return err
	}
	target, err := targetOf(f.prod, f.target)
	if err != nil {
		return err
	}
	l, err := readLink(dir)
	if err != nil {
		return err
	}
	if !l.real() { // no project is made for nothing
		if err := checkBuilt(dir, "", target); err != nil {
			return err
		}
	}
	on, err := s.siteToDeploy(ctx, dir, l, f.yes)
	if err != nil {
		return err
	}
	root := builtRoot(dir, on.project)
	if err := checkBuilt(dir, root, target); err != nil {
		return err
	}
	if target == "" {
		if target, err = targetFor(on.project, builtFor(filepath.Join(dir, root))); err != nil {
			return err
		}
	}
	show := &deployView{session: s}
	d, err := on.client.Deploy(ctx, client.DeployOptions{
		Dir: dir, Root: root, Project: string(on.project.ID), Target: target, Meta: meta, Env: env, Git: source.Commit(ctx, dir),
		Config: source.Config(filepath.Join(dir, root)), SkipHosts: f.skipDomain, NoWait: f.noWait, Progress: show.progress,
	})
	return s.deployed(ctx, on, d, err, show)
}

// deployed ends a command that made a deployment.
func (s *session) deployed(ctx context.Context, on *site, d *client.Deployment, err error, show *deployView) error {
	s.Term.Close()
	switch {
	case err == nil:
	case d != nil && d.ID != "" && !d.State.Final():
		s.Term.Linef("%s goes on without this command; see it with `lateen inspect %s`.", d.ID, d.ID)
		return err
	default:
		show.tellUploaded()
		if e, ok := errors.AsType[*lateen.Error](err); ok && e.Code == lateen.Faulted && show.failure != "" {
			err = e.WithHint("%s", strings.TrimPrefix(strings.TrimPrefix(show.failure, e.Message), ". "))
		}
		if d != nil && d.State.Final() && s.Flags.JSON {
			return errors.Join(err, s.Term.JSON(d))
		}
		return err
	}
	if s.Flags.JSON {
		return s.Term.JSON(d)
	}
	show.finish(d)
	if err := s.tellProduction(ctx, on, d); err != nil {
		return err
	}
	if !s.Term.Shown() || !s.Term.Moves() {
		s.Term.Answer(d.SiteURL)
	}
	return nil
}

// pairs reads KEY=value arguments of a flag.
func pairs(flag string, list []string) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, command.ErrUsage.With("%s takes KEY=value, not %q", flag, text)
		}
		out[key] = value
	}
	return out, nil
}

// targetOf is the environment that flags ask for; "" leaves it to the platform.
func targetOf(prod bool, target string) (string, error) {
	if prod && target != "" && target != lateen.Production {
		return "", command.ErrUsage.With("--prod and --target %s contradict each other", target)
	}
	if prod {
		return lateen.Production, nil
	}
	return target, nil
}

// siteToDeploy returns the project to deploy a directory to: the one it is
// linked to, the one --project names, or the one that has its name. A directory
// without a link is linked to it; one with a link keeps that.
func (s *session) siteToDeploy(ctx context.Context, dir string, l *link, yes bool) (*site, error) {
	found, err := s.site(ctx, dir)
	name := s.Flags.Project
	switch {
	case err == nil && (name == "" || l.real()):
		return found, nil
	case err == nil, errors.Is(err, errNotLinked), errors.Is(err, lateen.ErrProjectNotFound), errors.Is(err, errLinkedElsewhere) && yes:
	default:
		return nil, err
	}
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = projectName(dir)
		if err := s.confirmExisting(ctx, c, name, yes); err != nil {
			return nil, err
		}
	}
	if s.Flags.Project != "" && l.real() {
		p, err := c.CreateProject(ctx, name, lateen.ProjectSettings{})
		return &site{c, p}, err
	}
	p, made, err := s.linkTo(ctx, c, dir, name)
	if err != nil {
		return nil, err
	}
	s.tellLinked(dir, p, made)
	return &site{c, p}, nil
}

// confirmExisting asks before a directory without a link is deployed to a
// project that is there already.
func (s *session) confirmExisting(ctx context.Context, c *client.Client, name string, yes bool) error {
	if yes {
		return nil
	}
	_, err := c.Project(ctx, name)
	if errors.Is(err, lateen.ErrProjectNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !s.Term.Interactive() {
		return lateen.ErrProjectTaken.With("there is a project %q already, and this directory is not linked to it", name).
			WithHint("say --yes to deploy to it, or choose another with --project")
	}
	return s.Confirm(ctx, false, fmt.Sprintf("There is a project %s already. Deploy to it?", terminal.Paint(terminal.Bold, name)))
}
