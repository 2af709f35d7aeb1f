package cli

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/source"
)

// isBuilt reports whether there is a build output in dir.
func isBuilt(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ".vercel", "output", "config.json"))
	return err == nil
}

// builtRoot is the folder of dir that was built: the root directory of the
// project's settings, where several projects share a repository, or "".
func builtRoot(dir string, p *client.Project) string {
	if p.RootDirectory == nil || !filepath.IsLocal(*p.RootDirectory) || !isBuilt(filepath.Join(dir, *p.RootDirectory)) {
		return ""
	}
	return filepath.ToSlash(filepath.Clean(*p.RootDirectory))
}

// checkBuilt says what to do where there is nothing to deploy in a folder of dir.
func checkBuilt(dir, root, target string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return command.ErrUsage.With("there is no directory %s", dir)
	}
	if isBuilt(filepath.Join(dir, root)) {
		return checkTarget(builtFor(filepath.Join(dir, root)), target)
	}
	build := buildCommand(target)
	what := "it"
	if fw := source.FrameworkOf(dir); fw.Name != "" {
		what = "this " + fw.Name + " app"
	}
	link := ""
	if l, err := readLink(dir); err == nil && (l == nil || l.Settings == nil) {
		link = "link the directory with `lateen link`, "
	}
	return lateen.ErrBuildOutputMissing.With("%s has no build output (.vercel/output)", filepath.Base(dir)).
		WithHint("%sbuild %s with `%s`, then deploy again", link, what, build)
}

// builtFor is the environment that the output in dir was built for; "" where the
// output does not say it, as that of frameworks which write it themselves.
func builtFor(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, ".vercel", "output", "builds.json"))
	if err != nil {
		return ""
	}
	var builds struct {
		Target string `json:"target"`
	}
	_ = json.Unmarshal(text, &builds) // the platform says what is malformed
	return builds.Target
}

// buildCommand builds for an environment; "" is preview.
func buildCommand(target string) string {
	switch target {
	case "", lateen.Preview:
		return "npx vercel build"
	case lateen.Production:
		return "npx vercel build --prod"
	}
	return "npx vercel build --target=" + target
}

// targetFlag asks a deployment for an environment.
func targetFlag(target string) string {
	if target == lateen.Production {
		return "--prod"
	}
	return "--target " + target
}

// checkTarget refuses an output that was built for another environment than it is
// to be deployed to.
func checkTarget(built, target string) error {
	if target == "" || built == "" || built == target {
		return nil
	}
	return lateen.ErrBuildOutput.With("the output was built for %s, not for %s", built, target).
		WithHint("build it with `%s`, then deploy again", buildCommand(target))
}

// targetFor is the environment to deploy an output to where no flag says it: the
// one it was built for. It is "", for the platform to choose, where the output
// does not say that. An output for production replaces no production without the
// flag, so that nothing is published by mistake.
func targetFor(p *client.Project, built string) (string, error) {
	if built == "" || built == lateen.Preview || built == lateen.Production && p.Targets[lateen.Production] == nil {
		return built, nil
	}
	return "", command.ErrUsage.With("the output was built for %s", built).
		WithHint("deploy it with `lateen deploy %s`, or build a preview with `%s`", targetFlag(built), buildCommand(""))
}
