package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/framework"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// isBuilt reports whether there is a build output in dir.
func isBuilt(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ".vercel", "output", "config.json"))
	return err == nil
}

// builtRoot returns the root directory of the project's settings if it has a build
// output (several projects may share a repository), or "".
func builtRoot(dir string, p *client.Project) string {
	if p.RootDirectory == nil || !filepath.IsLocal(*p.RootDirectory) || !isBuilt(filepath.Join(dir, *p.RootDirectory)) {
		return ""
	}
	return filepath.ToSlash(filepath.Clean(*p.RootDirectory))
}

// checkDirectory returns an error if there is no directory dir.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return command.ErrUsage.With("directory %s not found", dir)
	}
	if !info.IsDir() {
		return command.ErrUsage.With("%s is a file", dir).
			WithHint("name the directory of the app, which has the build output (.vercel/output)")
	}
	return nil
}

// checkBuilt returns an error with a hint if a folder of dir has nothing to deploy.
func checkBuilt(dir, root string, target lateen.Environment) error {
	if at := filepath.Join(dir, root); isBuilt(at) {
		builds := readBuilds(at)
		if err := builds.failure(); err != nil {
			return err
		}
		return checkTarget(builds.Target, target)
	}
	build := buildCommand(target)
	what := "it"
	if fw := framework.FrameworkOf(dir); fw.Name != "" {
		what = "this " + fw.Name + " app"
	}
	link := ""
	if l, err := command.ReadLink(dir); err == nil && (l == nil || l.Settings == nil) {
		link = "link the directory with `lateen link`, "
	}
	return lateen.ErrBuildOutputMissing.With("%s has no build output (.vercel/output)", filepath.Base(dir)).
		WithHint("%sbuild %s with `%s`, then deploy again", link, what, build)
}

// builds is the builds.json of an output, which only the vercel CLI writes.
type builds struct {
	Target lateen.Environment `json:"target"` // that the output was built for; "" if it names none
	Error  any                `json:"error"`
	Builds []struct {
		Error any `json:"error"`
	} `json:"builds"`
}

// readBuilds returns the builds.json of the output in dir; zero if there is none, as in
// the outputs that framework adapters write.
func readBuilds(dir string) *builds {
	b := &builds{}
	if text, err := os.ReadFile(filepath.Join(dir, ".vercel", "output", "builds.json")); err == nil {
		_ = json.Unmarshal(text, b) // the platform reports malformed fields
	}
	return b
}

// failure returns the error of the build, or nil. The output of a failed build has a
// config.json as well, without the pages.
func (b *builds) failure() error {
	errs := []any{b.Error}
	for _, build := range b.Builds {
		errs = append(errs, build.Error)
	}
	for _, e := range errs {
		if e == nil {
			continue
		}
		reason, _ := e.(string)
		if fields, ok := e.(map[string]any); ok {
			reason, _ = fields["message"].(string)
		}
		if reason = strings.TrimSpace(terminal.Clean(reason)); reason != "" {
			reason = ": " + reason
		}
		return lateen.ErrBuildOutputFailed.With("the build that made this output failed%s", reason).
			WithHint("fix the build, run `%s` again, then deploy", buildCommand(b.Target))
	}
	return nil
}

// buildCommand builds for an environment; "" is preview.
func buildCommand(target lateen.Environment) string {
	if target == "" || target == lateen.Preview {
		return "npx vercel build"
	}
	if target == lateen.Production {
		return "npx vercel build --prod"
	}
	return "npx vercel build --target=" + string(target)
}

// targetFlag returns the flag that selects an environment.
func targetFlag(target lateen.Environment) string {
	if target == lateen.Production {
		return "--prod"
	}
	return "--target " + string(target)
}

// checkTarget returns an error if an output was built for another environment than
// target.
func checkTarget(built, target lateen.Environment) error {
	if target == "" || built == "" || built == target {
		return nil
	}
	return lateen.ErrBuildOutput.With("the build output is for %s, not for %s", built, target).
		WithHint("build it with `%s`, then deploy again", buildCommand(target))
}

// targetFor returns the default environment of a deployment: the one that the output
// was built for, or "", which leaves the choice to the platform. Replacing production
// requires the flag, so that no output is published by mistake.
func targetFor(p *client.Project, built lateen.Environment) (lateen.Environment, error) {
	if built == "" || built == lateen.Preview || built == lateen.Production && p.Targets[lateen.Production] == nil {
		return built, nil
	}
	return "", command.ErrUsage.With("the build output is for %s", built).
		WithHint("deploy it with `lateen deploy %s`, or build a preview with `%s`", targetFlag(built), buildCommand(""))
}
