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
	"time"
)

// voyage writes a small application as a build for a target: a page that says
// text, and a function that tells its environment.
func voyage(t *testing.T, dir, target, text string) {
	t.Helper()
	output(t, dir, map[string]string{
		"builds.json":                            `{"target": "` + target + `"}`,
		"static/index.html":                      "<!doctype html><h1>" + text + "</h1>\n",
		"functions/api/env.func/.vc-config.json": `{"runtime":"nodejs24.x","handler":"index.js","launcherType":"Nodejs"}`,
		"functions/api/env.func/index.js":        `module.exports = (req, res) => { console.log("asked for " + req.url); res.setHeader("content-type", "application/json"); res.end(JSON.stringify(process.env)); };`,
	})
}

// says fails unless the site's page has text.
func (s site) says(t *testing.T, text string) {
	t.Helper()
	if r := s.get(t, "/"); r.Status != http.StatusOK || !strings.Contains(r.Body, "<h1>"+text+"</h1>") {
		t.Errorf("%s answers %d %q, want %q", s.host, r.Status, clip(r.Body), text)
	}
}

// env is the environment of the site's function.
func (s site) env(t *testing.T) map[string]string {
	t.Helper()
	r := s.get(t, "/api/env")
	if r.Status != http.StatusOK {
		t.Fatalf("%s/api/env answers %d %s", s.host, r.Status, clip(r.Body))
	}
	return decode[map[string]string](t, r)
}

// gone fails unless nothing is served for the host.
func (s site) gone(t *testing.T) {
	t.Helper()
	if r := s.get(t, "/"); r.Status != http.StatusNotFound || r.Header.Get("X-Vercel-Error") != "DEPLOYMENT_NOT_FOUND" {
		t.Errorf("%s answers %d %s", s.host, r.Status, r.Header.Get("X-Vercel-Error"))
	}
}

func TestVercelCLIManagesAProjectFromLinkToRemoval(t *testing.T) {
	t.Parallel()
	p := common(t)
	api := watch(t, p)
	dir := filepath.Join(t.TempDir(), "voyage")
	voyage(t, dir, "preview", "first")
	cli := vercel(t, p, dir)
	cli.api = api.url
	production := site{p, "voyage.localhost"}

	cli.run("whoami").says(t, "owner")
	cli.run("teams", "ls").says(t, "team")
	cli.run("link", "--yes")
	linked := readJSON[map[string]any](t, filepath.Join(dir, ".vercel", "project.json"))
	if id, _ := linked["projectId"].(string); !strings.HasPrefix(id, "prj_") {
		t.Errorf("the link names no project: %v", linked)
	}
	cli.run("project", "ls").says(t, "voyage")
	production.gone(t)

	environmentByVercel(t, cli, dir)

	first := cli.deploy("deploy", "--prebuilt")
	first.says(t, "first")
	production.says(t, "first") // the first deployment of a project is production's
	if got := production.env(t); got["COLOR"] != "red" || got["API_SECRET"] != "hush-hush" || got["VERCEL_ENV"] != "production" || got["VERCEL_URL"] != first.host {
		t.Errorf("the first deployment finds COLOR=%q API_SECRET=%q VERCEL_ENV=%q VERCEL_URL=%q", got["COLOR"], got["API_SECRET"], got["VERCEL_ENV"], got["VERCEL_URL"])
	}
	if api.uploads() == 0 {
		t.Error("the first deployment uploaded nothing")
	}
	preview := cli.deploy("deploy", "--prebuilt")
	if n := api.uploads(); n != 0 {
		t.Errorf("a deployment of what was deployed before uploaded %d files", n)
	}
	if got := preview.env(t); got["COLOR"] != "green" || got["VERCEL_ENV"] != "preview" {
		t.Errorf("the preview finds COLOR=%q VERCEL_ENV=%q", got["COLOR"], got["VERCEL_ENV"])
	}

	cli.run("env", "update", "COLOR", "production", "--value", "purple", "--yes")
	if got := first.env(t); got["COLOR"] != "red" {
		t.Errorf("a variable of what was deployed changed to COLOR=%q", got["COLOR"])
	}
	voyage(t, dir, "production", "second")
	second := cli.deploy("deploy", "--prebuilt", "--prod", "--meta", "berth=42", "--env", "EXTRA=yes")
	production.says(t, "second")
	first.says(t, "first") // the deployment did not change
	if got := second.env(t); got["EXTRA"] != "yes" || got["COLOR"] != "purple" {
		t.Errorf("the second deployment finds EXTRA=%q COLOR=%q", got["EXTRA"], got["COLOR"])
	}

	lookWithVercel(t, cli, second, preview)
	aliasesByVercel(t, cli, preview)
	moveProduction(t, cli, dir, production, first, second, preview)
	variantsOfDeploy(t, cli, dir, api)

	cli.run("rm", preview.host, "--yes")
	preview.gone(t)
	cli.run("api", "/v9/projects/voyage").says(t, `"name": "voyage"`)
	if r := cli.input("y\n", "project", "rm", "voyage"); r.Code != 0 {
		t.Errorf("project rm: exit %d", r.Code)
	}
	production.gone(t)
	second.gone(t)
}

func readJSON[T any](t *testing.T, name string) T {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

func environmentByVercel(t *testing.T, cli *command, dir string) {
	t.Helper()
	if r := cli.input("blue", "env", "add", "COLOR", "production", "--type", "config"); r.Code != 0 {
		t.Fatal("env add")
	}
	cli.run("env", "add", "COLOR", "preview", "--value", "green", "--type", "config", "--yes")
	cli.run("env", "add", "COLOR", "development", "--value", "yellow", "--yes")
	cli.run("env", "add", "API_SECRET", "production", "--value", "hush-hush", "--sensitive", "--yes")
	cli.run("env", "add", "PASSING", "production", "--value", "x", "--yes")
	if r := cli.input("red", "env", "update", "COLOR", "production", "--yes"); r.Code != 0 {
		t.Fatal("env update")
	}
	cli.run("env", "rm", "PASSING", "production", "--yes")
	list := cli.run("env", "ls")
	list.says(t, "COLOR", "API_SECRET")
	if strings.Contains(list.Stdout+list.Stderr, "PASSING") || strings.Contains(list.Stdout+list.Stderr, "hush-hush") {
		t.Error("env ls shows what was removed, or a secret")
	}
	cli.run("env", "pull", ".env.pulled", "--environment=development", "--yes")
	cli.run("env", "pull", ".env.production", "--environment=production", "--yes")
	for file, line := range map[string]string{".env.pulled": `COLOR="yellow"`, ".env.production": `COLOR="red"`} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(text), line) || strings.Contains(string(text), "hush-hush") {
			t.Errorf("%s was pulled as %q, %v", file, text, err)
		}
	}
	cli.run("pull", "--yes")
}

// lookWithVercel runs the reading commands.
func lookWithVercel(t *testing.T, cli *command, production, preview site) {
	t.Helper()
	cli.run("inspect", production.host).says(t, "voyage.localhost", "api/env", "Ready")
	cli.run("inspect", preview.host, "--logs").says(t, "build output")
	cli.run("ls").says(t, production.host, preview.host)
	only := cli.run("ls", "voyage", "--meta", "berth=42")
	only.says(t, production.host)
	if strings.Contains(only.Stdout+only.Stderr, preview.host) {
		t.Error("ls --meta shows a deployment without it")
	}
	marker := fmt.Sprint("/api/env?marker=", time.Now().UnixNano())
	production.get(t, marker)
	eventually(t, func() error {
		if r := cli.try("logs", production.host, "--no-follow"); r.Code != 0 || !strings.Contains(r.Stdout+r.Stderr, "/api/env") {
			return fmt.Errorf("vercel logs: exit %d without the line", r.Code)
		}
		return nil
	})
	cli.run("api", "/v2/user").says(t, "username")
}

func aliasesByVercel(t *testing.T, cli *command, preview site) {
	t.Helper()
	shop, own := site{cli.p, "voyage-shop.localhost"}, site{cli.p, "www.voyage.example"}
	cli.run("alias", "set", preview.host, shop.host)
	cli.run("alias", "set", preview.host, own.host)
	shop.says(t, "first")
	own.says(t, "first")
	cli.run("alias", "ls").says(t, shop.host, own.host)
	cli.run("alias", "rm", own.host, "--yes")
	own.gone(t)
	shop.says(t, "first")
	cli.refuse("belongs to the platform", "alias", "set", preview.host, "api.localhost")
}

func moveProduction(t *testing.T, cli *command, dir string, production, first, second, preview site) {
	t.Helper()
	cli.run("rollback", first.host, "--yes")
	production.says(t, "first")
	cli.run("rollback", "status", "voyage")
	voyage(t, dir, "production", "third")
	third := cli.deploy("deploy", "--prebuilt", "--prod")
	third.says(t, "third")
	production.says(t, "first") // a rollback holds until the next promotion
	cli.run("promote", third.host, "--yes")
	production.says(t, "third")
	cli.run("promote", "status", "voyage")

	// A preview is made again for production, with its variables, and takes over when it is ready.
	cli.run("promote", preview.host, "--yes")
	eventually(t, func() error {
		if r := production.get(t, "/"); !strings.Contains(r.Body, "first") {
			return fmt.Errorf("production is still %q", clip(r.Body))
		}
		return nil
	})
	if got := production.env(t); got["COLOR"] != "purple" || got["VERCEL_URL"] == preview.host {
		t.Errorf("the promoted preview finds COLOR=%q at %s", got["COLOR"], got["VERCEL_URL"])
	}
	again := cli.named(cli.run("redeploy", second.host))
	again.says(t, "second")
	if again.host == second.host {
		t.Error("redeploy made no new deployment")
	}
}

func variantsOfDeploy(t *testing.T, cli *command, dir string, api *watcher) {
	t.Helper()
	voyage(t, dir, "staging", "on stage")
	staging := cli.deploy("deploy", "--prebuilt", "--target=staging")
	staging.says(t, "on stage")
	if got := staging.env(t); got["VERCEL_TARGET_ENV"] != "staging" || got["VERCEL_ENV"] != "preview" {
		t.Errorf("staging finds VERCEL_TARGET_ENV=%q VERCEL_ENV=%q", got["VERCEL_TARGET_ENV"], got["VERCEL_ENV"])
	}
	voyage(t, dir, "preview", "packed")
	api.uploads()
	packed := cli.deploy("deploy", "--prebuilt", "--archive=tgz")
	packed.says(t, "packed")
	packed.env(t)
	if n := api.uploads(); n != 1 {
		t.Errorf("an archive took %d uploads", n)
	}
	voyage(t, dir, "preview", "later")
	later := cli.deploy("deploy", "--prebuilt", "--no-wait")
	eventually(t, func() error {
		if r := later.get(t, "/"); r.Status != http.StatusOK {
			return fmt.Errorf("%s answers %d", later.host, r.Status)
		}
		return nil
	})
	cli.refuse("--prebuilt", "deploy", "--yes")
}

func TestTheVercelCLIReportsAWrongToken(t *testing.T) {
	t.Parallel()
	p := common(t)
	cli := vercel(t, p, t.TempDir())
	cli.env = append(cli.env, "VERCEL_TOKEN=wrong")
	cli.refuse("not valid", "whoami")
}
