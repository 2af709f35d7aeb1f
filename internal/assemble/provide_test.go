package assemble_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// A deployment requests each of its runtimes once. The build log reports a missing
// one, and the deployment does not fail.
func TestAMissingRuntimeIsReportedInTheBuildLog(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	files := map[string]string{".vercel/output/config.json": `{"version":3,"crons":[{"path":"/api/a","schedule":"0 5 * * *"}]}`}
	for name, runtime := range map[string]string{"a": "nodejs24.x", "b": "nodejs24.x", "c": "python3.12", "d": "ruby3.3"} {
		files[".vercel/output/functions/"+name+".func/.vc-config.json"] = `{"runtime":"` + runtime + `","handler":"index.js","launcherType":"Nodejs"}`
		files[".vercel/output/functions/"+name+".func/index.js"] = ""
	}
	var asked []string
	p.Provide = func(_ context.Context, f *lateen.Function) error {
		asked = append(asked, f.Runtime)
		if f.Runtime == "nodejs24.x" {
			return &lateen.Error{Code: lateen.Unavailable, Reason: "registry_unreachable", Message: "the package registry cannot be reached", Hint: "check the network"}
		}
		return nil
	}
	p.mustAssemble(p.upload(files))
	if !slices.Equal(asked, []string{"nodejs24.x", "python3.12"}) {
		t.Errorf("requested runtimes: %v", asked)
	}
	log := strings.Join(p.lines, "\n")
	for _, want := range []string{
		"Notice: functions with the runtime nodejs24.x cannot start yet: the package registry cannot be reached; check the network",
		"Notice: 1 cron job will not be run",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the build log has no %q:\n%s", want, log)
		}
	}
	p.Provide = func(context.Context, *lateen.Function) error { return errors.New("/var/lib/lateen is broken") }
	p.mustAssemble(p.upload(files))
	if log = strings.Join(p.lines, "\n"); strings.Contains(log, "/var/lib") {
		t.Errorf("the build log contains internals of the platform:\n%s", log)
	}
}
