package deploy

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
	"github.com/lateen-dev/lateen/internal/framework"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// deployFlags are how to deploy.
type deployFlags struct {
	prod       bool
	target     lateen.Environment
	env, meta  []string
	skipDomain bool
	noWait     bool
	yes        bool
}

// Deploy returns the command `lateen deploy`.
func Deploy(with *command.Session) *cobra.Command {
	s := &session{with}
	var f deployFlags
	c := &cobra.Command{
		Use:     "deploy [directory]",
		GroupID: command.Deploy,
		Short:   "Deploy the build output and print the URL",
		Long: "Deploys the build output in .vercel/output of a directory and prints the URL of the\n" +
			"deployment. Only files that are new to the platform are uploaded.\n\n" +
			"A directory without a link is linked to the project of its name, which is created\n" +
			"if it does not exist. A build output is deployed to the environment that it was\n" +
			"built for: preview by default, production with --prod on both this command and\n" +
			"`vercel build`. If the build output names no environment, the first deployment of a\n" +
			"project goes to production and later ones to preview.\n\n" +
			"`npx vercel build` creates the build output of any framework in a directory that\n" +
			"`lateen link` has linked. Frameworks with an adapter for Vercel write it directly.",
		Example: "lateen link && npx vercel build && lateen deploy\n" +
			"npx vercel build --prod && lateen deploy --prod\n" +
			"lateen deploy site --project shop --env API_URL=https://api.example.com\n" +
			"lateen deploy --prod --skip-domain   # staged until `lateen promote`",
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
	flags.BoolVar(&f.prod, "prod", false, "deploy to production; short for --target production")
	flags.StringVar((*string)(&f.target), "target", "", "`environment` to deploy to: production, preview or a custom one")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "set `KEY=value` in this deployment's variables, over the project's; repeatable")
	flags.StringArrayVarP(&f.meta, "meta", "m", nil, "add `key=value` to the metadata of the deployment; repeatable")
	flags.BoolVar(&f.skipDomain, "skip-domain", false, "stage the deployment without pointing production at it")
	flags.BoolVar(&f.noWait, "no-wait", false, "return after the upload, before the deployment is ready")
	flags.Bool("prebuilt", true, "deploy the build output (always on)") // as people type it for the vercel CLI
	_ = flags.MarkHidden("prebuilt")                                    // fails for unknown flags only
	command.YesFlag(c, &f.yes)
	s.ProjectFlag(c)
	_ = c.RegisterFlagCompletionFunc("target", command.CompleteTargets) // fails for unknown flags only
	return c
}

func (s *session) runDeploy(ctx context.Context, dir string, f *deployFlags) error {
	env, err := command.Pairs("--env", f.env)
	if err != nil {
		return err
	}
	meta, err := command.Pairs("--meta", f.meta)
	if err != nil {
		return err
	}
	target, err := targetOf(f.prod, f.target)
	if err != nil {
		return err
	}
	if err := checkDirectory(dir); err != nil {
		return err
	}
	l, err := command.ReadLink(dir)
	if err != nil {
		return err
	}
	if !l.Real() { // no project is made for nothing
		if err := checkBuilt(dir, "", target); err != nil {
			return err
		}
	}
	on, err := s.siteToDeploy(ctx, dir, l, f.yes)
	if err != nil {
		return err
	}
	root := builtRoot(dir, on.Project)
	if err := checkBuilt(dir, root, target); err != nil {
		return err
	}
	if target == "" {
		if target, err = targetFor(on.Project, readBuilds(filepath.Join(dir, root)).Target); err != nil {
			return err
		}
	}
	show := &deployView{session: s}
	d, err := on.Client.Deploy(ctx, client.DeployOptions{
		Dir: dir, Root: root, Project: string(on.Project.ID), Target: target, Meta: meta, Env: env, Git: framework.Commit(ctx, dir),
		Config: framework.Config(filepath.Join(dir, root)), SkipHosts: f.skipDomain, NoWait: f.noWait, Progress: show.progress,
	})
	return s.deployed(ctx, on, d, err, show, target == lateen.Production)
}

// deployed reports the result of a command that created a deployment. asked is true if
// the user requested production or a copy of a deployment.
func (s *session) deployed(ctx context.Context, on *command.Site, d *client.Deployment, err error, show *deployView, asked bool) error {
	s.Term.Close()
	switch {
	case err == nil:
	case d != nil && d.ID != "" && !d.State.Final():
		s.Term.Linef("%s continues on the platform. Follow it with `lateen inspect %s --wait`.", d.ID, d.ID)
		return err
	default:
		show.tellUploaded()
		s.tellUnanswered(err, on.Project.Name)
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
	if err := s.tellProduction(ctx, on, d, asked); err != nil {
		return err
	}
	if !s.Term.Shown() || !s.Term.Moves() {
		s.Term.Answer(d.SiteURL)
	}
	return nil
}

// tellUnanswered tells the user if err leaves open whether a deployment was created.
// project is its project, "" the linked one.
func (s *session) tellUnanswered(err error, project string) {
	if client.Unanswered(err) {
		s.Term.Linef("The deployment may have been created. List the deployments with `%s`.", strings.TrimSpace("lateen ls "+project))
	}
}

// targetOf returns the environment of the flags; "" leaves the choice to the platform.
func targetOf(prod bool, target lateen.Environment) (lateen.Environment, error) {
	if prod && target != "" && target != lateen.Production {
		return "", command.ErrUsage.With("--prod and --target %s are mutually exclusive", target)
	}
	if target == "prod" {
		return "", command.ErrUsage.With("environment %q looks like production", string(target)).WithHint("deploy to production with --prod")
	}
	if prod {
		return lateen.Production, nil
	}
	return target, nil
}

// siteToDeploy returns the project to deploy a directory to: the linked project, the
// project of --project, or the project with the name of the directory. A directory
// without a link is linked to that project; an existing link does not change.
func (s *session) siteToDeploy(ctx context.Context, dir string, l *command.Link, yes bool) (*command.Site, error) {
	found, err := s.Site(ctx, dir)
	name := s.Flags.Project
	switch {
	case err == nil && (name == "" || l.Real()):
		return found, nil
	case err == nil, errors.Is(err, command.ErrNotLinked), errors.Is(err, lateen.ErrProjectNotFound), errors.Is(err, command.ErrLinkedElsewhere) && yes:
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
	if s.Flags.Project != "" && l.Real() {
		p, err := c.CreateProject(ctx, name, lateen.ProjectSettings{})
		return &command.Site{Client: c, Project: p}, err
	}
	p, made, err := s.linkTo(ctx, c, dir, name)
	if err != nil {
		return nil, err
	}
	s.tellLinked(dir, p, made)
	return &command.Site{Client: c, Project: p}, nil
}

// confirmExisting asks for confirmation before a directory without a link is deployed
// to an existing project.
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
		return lateen.ErrProjectTaken.With("project %q exists, and this directory is not linked to it", name).
			WithHint("deploy to it with --yes, or choose another project with --project")
	}
	return s.Confirm(ctx, false, fmt.Sprintf("Project %s exists already. Deploy to it?", terminal.Paint(terminal.Bold, name)))
}
