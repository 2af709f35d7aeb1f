//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen/client"
)

// A function answers and becomes idle, and another one fails to start: the usage of
// the project shows both.
func TestUsageShowsTheFunctionsOfADeployment(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_KEEP_ALIVE=1s")
	dir := filepath.Join(t.TempDir(), "metered")
	config := `{"runtime":"nodejs22.x","handler":"index.js","launcherType":"Nodejs"}`
	for name, text := range map[string]string{
		"config.json":                           `{"version":3}`,
		"functions/works.func/.vc-config.json":  config,
		"functions/works.func/index.js":         `module.exports = (_, res) => setTimeout(() => res.end("done"), 300)`,
		"functions/broken.func/.vc-config.json": config,
		"functions/broken.func/index.js":        `throw new Error("this module does not load")`,
	} {
		file := filepath.Join(dir, ".vercel", "output", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cli := lateenCLI(t, p, dir)
	s := cli.deploy("deploy", "--yes")
	s.expect(t, want{path: "/works", contains: []string{"done"}})
	if r, err := s.try(t, http.MethodGet, "/broken", nil); err != nil || r.Status < 500 {
		t.Fatalf("the broken function answers %+v, %v", r, err)
	}
	eventually(t, func() error {
		var usage client.Usage
		if err := json.Unmarshal([]byte(cli.run("usage", "--json").Stdout), &usage); err != nil {
			return err
		}
		shown := map[string]bool{}
		for _, fn := range usage.Functions {
			name := strings.TrimPrefix(fn.Function, "/")
			switch name {
			case "works":
				shown[name] = fn.Starting.Time > 0 && fn.Busy.Time >= 3e8 && fn.Busy.Memory > 0 && fn.Idle.Time+fn.Frozen.Time > 0 && fn.Failed.Time == 0
			case "broken":
				shown[name] = fn.Failed.Time > 0 && fn.Total().Time == fn.Failed.Time+fn.Standby.Time
			}
		}
		if !shown["works"] || !shown["broken"] {
			return fmt.Errorf("the usage is %+v", usage.Functions)
		}
		return nil
	})
	cli.run("usage").says(t, "works", "broken", "busy", "failed", "standby")
}
