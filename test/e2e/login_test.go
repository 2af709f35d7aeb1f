//go:build e2e

package e2e_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLoggingInHereLogsTheVercelCLIIn(t *testing.T) {
	t.Parallel()
	p := common(t)
	dir, settings := t.TempDir(), filepath.Join(t.TempDir(), "vercel")
	lateenCLI(t, p, dir).run("login", "--global-config", settings)

	c := vercel(t, p, dir)
	env := slices.DeleteFunc(c.env, func(kv string) bool { return strings.HasPrefix(kv, "VERCEL_TOKEN=") })
	for _, args := range [][]string{{"whoami"}, {"link", "--yes", "--project", "logged-in"}, {"project", "ls"}} {
		cmd := exec.CommandContext(t.Context(), c.args[0], append(append(c.args[1:], args...), "-Q", settings)...)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("vercel %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		if args[0] == "whoami" && !strings.Contains(string(out), "owner") {
			t.Errorf("vercel whoami says\n%s", out)
		}
	}
}
