//go:build e2e

// Package vercel_test runs the unmodified vercel CLI against the API without a daemon:
// deployments are assembled, and no function runs.
package vercel_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api/apitest"
	"github.com/lateen-dev/lateen/internal/control/controltest"
)

// findCLI returns the entry file of the unmodified vercel CLI, installed by the
// build of the examples.
func findCLI(t *testing.T) string {
	t.Helper()
	entry, err := filepath.Abs("../../examples/node_modules/vercel/dist/vc.js")
	if err == nil {
		_, err = os.Stat(entry)
	}
	if err != nil {
		t.Fatalf("the vercel CLI is missing, run `make examples`: %v", err)
	}
	return entry
}

// cli runs the vercel CLI with a server, in one directory.
type cli struct {
	t      *testing.T
	entry  string
	server *apitest.Server
	dir    string
	config string
}

type result struct {
	Stdout, Stderr string
	Code           int
	Calls          []apitest.Call
}

func (c *cli) run(args ...string) result {
	c.t.Helper()
	return c.runInput("", args...)
}

func (c *cli) runInput(stdin string, args ...string) result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := c.command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	c.server.Calls()
	start := time.Now()
	err := cmd.Run()
	r := result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode(), Calls: c.server.Calls()}
	c.t.Logf("vercel %s\nexit %d after %s: %v\n%s\n%s", strings.Join(args, " "), r.Code, time.Since(start).Round(time.Millisecond), err, r.Stdout, r.Stderr)
	for _, call := range r.Calls {
		c.t.Logf("  %d %s %s?%s", call.Status, call.Method, call.Path, call.Query)
		if call.Status == 404 && strings.Contains(call.Path, "unknown") || call.Status >= 500 {
			c.t.Errorf("%s %s answered %d", call.Method, call.Path, call.Status)
		}
	}
	return r
}

func (c *cli) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append(append([]string{c.entry}, args...), "--api", c.server.URL, "--token", c.server.Token, "-Q", c.config)
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "VERCEL_TELEMETRY_DISABLED=1", "NO_COLOR=1", "CI=1", "NO_UPDATE_NOTIFIER=1")
	return cmd
}

// must runs the CLI and expects success.
func (c *cli) must(args ...string) result {
	c.t.Helper()
	r := c.run(args...)
	if r.Code != 0 {
		c.t.Fatalf("vercel %s: exit %d", strings.Join(args, " "), r.Code)
	}
	return r
}

func (r result) uploads() int {
	n := 0
	for _, call := range r.Calls {
		if call.Method == "POST" && call.Path == "/v2/files" {
			n++
		}
	}
	return n
}

var urlPattern = regexp.MustCompile(`https://[a-z0-9.-]+`)

func (c *cli) deployed(r result) string {
	c.t.Helper()
	url := urlPattern.FindString(r.Stdout)
	if url == "" {
		c.t.Fatalf("no URL on stdout: %q", r.Stdout)
	}
	return strings.TrimPrefix(url, "https://")
}

func newCLI(t *testing.T) *cli {
	t.Helper()
	c := &cli{t: t, entry: findCLI(t), server: apitest.New(t), config: t.TempDir(), dir: filepath.Join(t.TempDir(), "demo-app")}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return c
}

// output writes a small build output with text as its page.
func (c *cli) output(target, text string) {
	c.t.Helper()
	controltest.Output(c.t, c.dir, target)
	page := filepath.Join(c.dir, ".vercel", "output", "static", "index.html")
	if err := os.WriteFile(page, []byte("<!doctype html><h1>"+text+"</h1>\n"), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// leads returns the deployment that a host leads to.
func (c *cli) leads(host string) lateen.DeploymentID {
	c.t.Helper()
	d, ok := c.server.Traffic.Hosts()[host]
	if !ok {
		c.t.Fatalf("%s leads nowhere", host)
	}
	return d
}

// says fails unless the output of a command contains a text.
func (c *cli) says(r result, text string) {
	c.t.Helper()
	if !strings.Contains(r.Stdout+r.Stderr, text) {
		c.t.Errorf("the output does not contain %q", text)
	}
}

func TestVercelCLI(t *testing.T) {
	c := newCLI(t)
	c.output("preview", "one")
	c.says(c.must("whoami"), "owner")
	c.must("teams", "switch", "team")
	c.says(c.must("project", "ls", "--scope", "team"), "No projects")
	c.says(c.must("teams", "ls"), "team")
	c.must("link", "--yes")
	c.environment()

	first := c.deployed(c.must("deploy", "--prebuilt"))
	if c.leads("demo-app.localhost") != c.leads(first) {
		t.Error("the first deployment does not serve production")
	}
	again := c.must("deploy", "--prebuilt")
	if n := again.uploads(); n != 0 {
		t.Errorf("an unchanged deployment uploaded %d files", n)
	}
	preview := c.deployed(again)
	c.output("production", "two")
	production := c.deployed(c.must("deploy", "--prebuilt", "--prod", "--meta", "color=teal", "--env", "EXTRA=yes"))
	if c.leads("demo-app.localhost") != c.leads(production) {
		t.Error("deploy --prod does not serve production")
	}
	c.read(production, preview)
	c.alias(preview)
	c.production(first, production, preview)
	c.variants()
	c.purges()
	c.remove(preview)
}

// environment tests the commands for variables.
func (c *cli) environment() {
	c.t.Helper()
	if r := c.runInput("s3cret", "env", "add", "API_KEY", "production"); r.Code != 0 {
		c.t.Fatal("env add")
	}
	if r := c.runInput("blue", "env", "add", "COLOR", "development"); r.Code != 0 {
		c.t.Fatal("env add")
	}
	c.must("env", "add", "TOKEN", "preview", "--value", "hidden", "--sensitive", "--yes")
	c.says(c.must("env", "ls"), "API_KEY")
	c.says(c.must("env", "ls", "preview"), "TOKEN")
	if r := c.runInput("green", "env", "update", "COLOR", "development", "--yes"); r.Code != 0 {
		c.t.Fatal("env update")
	}
	c.must("env", "pull", ".env.test", "--yes")
	c.must("pull", "--yes")
	got, err := os.ReadFile(filepath.Join(c.dir, ".env.test"))
	if err != nil || !strings.Contains(string(got), `COLOR="green"`) {
		c.t.Errorf("pulled %q, %v", got, err)
	}
	c.must("env", "rm", "API_KEY", "production", "--yes")
	if r := c.must("env", "ls"); strings.Contains(r.Stdout+r.Stderr, "API_KEY") {
		c.t.Error("a removed variable is listed")
	}
}

// read tests the commands that show deployments.
func (c *cli) read(production, preview string) {
	c.t.Helper()
	c.says(c.must("inspect", production), "api/hello")
	c.says(c.must("inspect", "https://"+preview), "preview")
	c.says(c.must("inspect", production, "--logs"), "build output")
	c.must("inspect", "demo-app.localhost", "--wait", "--json")
	c.says(c.must("ls"), production)
	c.says(c.must("ls", "demo-app", "--meta", "color=teal"), production)
	c.must("ls", "--prod")
	c.must("project", "ls")
	c.must("project", "inspect", "demo-app")
	c.logs(production)
	c.says(c.must("api", "/v2/user"), "northstar")
	c.must("crons", "ls")
}

// logs tests the commands that show requests.
func (c *cli) logs(host string) {
	c.t.Helper()
	id := c.leads(host)
	d, err := c.server.Store.GetDeployment(c.t.Context(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	request := func(text string) {
		now := time.Now()
		id := lateen.NewID[lateen.RequestID]("req_", now)
		c.server.Logs.Log(lateen.LogLine{
			Time: lateen.MillisOf(now), Request: id, Project: d.Project, Deployment: d.ID, Level: lateen.LevelInfo, Source: "function", Text: text,
		})
		c.server.Logs.Record(lateen.Record{
			ID: id, Time: lateen.MillisOf(now), Team: d.Team, Project: d.Project, Deployment: d.ID, Target: d.Target,
			Method: "GET", Host: host, Path: "/api/hello", Status: 200, Kind: "function",
		})
	}
	request("said once")
	c.says(c.must("logs", host, "--no-follow"), "said once")
	c.says(c.must("logs", "--json", "--search", "once"), "said once")

	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	cmd := c.command(ctx, "logs", host, "--follow", "--json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	heard := make(chan bool)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		c.t.Logf("vercel logs --follow: %s", line)
		heard <- strings.Contains(line, "said live") && strings.Contains(line, "/api/hello")
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case ok := <-heard:
			waiting = false
			if !ok {
				c.t.Error("logs --follow did not show a line")
			}
		case <-tick.C:
			request("said live")
		}
	}
	cancel()
	_ = cmd.Wait() // killed above
}

// alias tests the commands for aliases.
func (c *cli) alias(preview string) {
	c.t.Helper()
	c.must("alias", "set", preview, "shop.localhost")
	c.must("alias", "set", preview, "www.example.com")
	if c.leads("www.example.com") != c.leads(preview) {
		c.t.Error("the alias leads elsewhere")
	}
	c.says(c.must("alias", "ls"), "www.example.com")
	c.must("alias", "rm", "www.example.com", "--yes")
	if _, there := c.server.Traffic.Hosts()["www.example.com"]; there {
		c.t.Error("a removed alias leads somewhere")
	}
	if r := c.run("alias", "set", preview, "api.localhost"); r.Code == 0 {
		c.t.Error("the platform's own host was given away")
	}
}

// production tests the commands that change the production deployment.
func (c *cli) production(first, second, preview string) {
	c.t.Helper()
	c.must("rollback", first, "--yes")
	if c.leads("demo-app.localhost") != c.leads(first) {
		c.t.Error("a rollback left production where it was")
	}
	c.must("rollback", "status", "demo-app")
	c.output("production", "three")
	third := c.deployed(c.must("deploy", "--prebuilt", "--prod"))
	if c.leads("demo-app.localhost") != c.leads(first) {
		c.t.Error("a deployment took over after a rollback")
	}
	c.must("promote", third, "--yes")
	if c.leads("demo-app.localhost") != c.leads(third) {
		c.t.Error("a promotion left production where it was")
	}
	c.must("promote", "status", "demo-app")
	c.must("promote", preview, "--yes")
	c.must("redeploy", second)
	staged := c.deployed(c.must("deploy", "--prebuilt", "--prod", "--skip-domain"))
	if c.leads("demo-app.localhost") == c.leads(staged) {
		c.t.Error("a staged deployment serves production")
	}
}

// variants tests other ways of deploying.
func (c *cli) variants() {
	c.t.Helper()
	c.output("staging", "four")
	staging := c.deployed(c.must("deploy", "--prebuilt", "--target=staging"))
	c.says(c.must("inspect", staging), "staging")
	c.must("redeploy", staging)
	c.output("preview", "five")
	c.must("deploy", "--prebuilt", "--archive=tgz")
	c.must("deploy", "--prebuilt", "--no-wait")
	if r := c.run("deploy", "--yes"); r.Code == 0 {
		c.t.Error("a deployment from source succeeded")
	} else {
		c.says(r, "--prebuilt")
	}
}

// purges tests the commands for cached content.
func (c *cli) purges() {
	c.t.Helper()
	c.says(c.must("cache", "purge", "--yes"), "purged the CDN cache and Data cache")
	c.says(c.must("cache", "invalidate", "--tag", "posts,authors", "--yes"), "invalidated")
	c.says(c.must("cache", "dangerously-delete", "--tag", "posts", "--revalidation-deadline-seconds", "60", "--yes"), "deleted")
}

// remove tests the commands that delete.
func (c *cli) remove(preview string) {
	c.t.Helper()
	if r := c.run("remove", preview, "--yes", "--safe"); r.Code == 0 {
		c.t.Error("remove --safe removed a deployment with an alias")
	}
	c.must("remove", preview, "--yes")
	if _, there := c.server.Traffic.Hosts()["shop.localhost"]; there {
		c.t.Error("an alias outlived its deployment")
	}
	c.must("project", "add", "another")
	if r := c.runInput("y\n", "project", "rm", "another"); r.Code != 0 {
		c.t.Error("project rm")
	}
	c.must("rm", "demo-app", "--yes")
	if hosts := c.server.Traffic.Hosts(); len(hosts) != 0 {
		c.t.Errorf("a deleted project is served on %v", hosts)
	}
}

// Teams, invitations and the activity of a team, with the CLI from npm.
func TestVercelCLITeams(t *testing.T) {
	c := newCLI(t)
	c.must("teams", "add", "--slug", "acme", "--name", "Acme Inc", "--non-interactive")
	c.says(c.must("teams", "ls"), "acme")
	c.must("teams", "switch", "acme")
	c.says(c.must("teams", "invite", "bob@example.com", "--scope", "acme"), "lateen login")
	c.says(c.must("teams", "members", "--scope", "acme"), "owner")
	c.says(c.must("whoami"), "owner")
	c.says(c.must("activity", "--all", "--scope", "acme"), "bob@example.com")
	c.says(c.must("activity", "--all", "--scope", "acme", "--format", "json"), "member.invite")
	c.says(c.must("tokens", "ls"), "first token")
}

func TestVercelCLIRefusesABadToken(t *testing.T) {
	c := newCLI(t)
	c.server.Token = "wrong"
	r := c.run("whoami")
	if r.Code == 0 {
		t.Error("whoami succeeded")
	}
	c.says(r, "not valid")
}
