//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// command is a command line client at work in one directory.
type command struct {
	t    *testing.T
	p    *platform
	name string // vercel or lateen
	dir  string
	api  string   // the platform's, or a proxy's in front of it
	args []string // before and after those of each run
	tail []string
	env  []string
}

// result is the result of a command.
type result struct {
	Stdout, Stderr string
	Code           int
}

// vercel returns the unmodified vercel CLI in a directory.
func vercel(t *testing.T, p *platform, dir string) *command {
	t.Helper()
	node := nodeDir(t)
	cli := filepath.Join(root(t), "examples", "node_modules", "vercel", "dist", "vc.js")
	if _, err := os.Stat(cli); err != nil {
		t.Fatalf("there is no vercel CLI in %s: run scripts/examples.sh", cli)
	}
	home := t.TempDir()
	return &command{
		t: t, p: p, name: "vercel", dir: dir, api: p.url,
		args: []string{filepath.Join(node, "node"), cli},
		tail: []string{"-Q", filepath.Join(home, "vercel")},
		env: []string{
			"PATH=" + node + ":" + os.Getenv("PATH"), "HOME=" + home, "VERCEL_TOKEN=" + p.token,
			"VERCEL_TELEMETRY_DISABLED=1", "NO_UPDATE_NOTIFIER=1", "NO_COLOR=1", "CI=1",
		},
	}
}

// lateenCLI returns the lateen CLI in a directory.
func lateenCLI(t *testing.T, p *platform, dir string) *command {
	t.Helper()
	return &command{
		t: t, p: p, name: "lateen", dir: dir, api: p.url, args: []string{binary},
		env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LATEEN_TOKEN=" + p.token, "NO_COLOR=1", goRace},
	}
}

// prepare returns a run that is not started.
func (c *command) prepare(ctx context.Context, args ...string) *exec.Cmd {
	args = append(append(append([]string{}, c.args...), args...), append([]string{"--api", c.api}, c.tail...)...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = c.dir, c.env
	return cmd
}

// input runs the command with text on standard input, and returns the result.
func (c *command) input(text string, args ...string) result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := c.prepare(ctx, args...)
	cmd.Stdin = strings.NewReader(text)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	started := time.Now()
	err := cmd.Run()
	r := result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	c.t.Logf("%s %s: exit %d after %s (%v)\n%s%s", c.name, strings.Join(args, " "), r.Code, time.Since(started).Round(time.Millisecond), err, r.Stdout, r.Stderr)
	return r
}

// try runs the command.
func (c *command) try(args ...string) result {
	c.t.Helper()
	return c.input("", args...)
}

// run runs the command, which has to succeed.
func (c *command) run(args ...string) result {
	c.t.Helper()
	r := c.try(args...)
	if r.Code != 0 {
		c.t.Fatalf("%s %s: exit %d", c.name, strings.Join(args, " "), r.Code)
	}
	return r
}

// refuse runs the command, which must fail with a reason.
func (c *command) refuse(reason string, args ...string) result {
	c.t.Helper()
	r := c.try(args...)
	if r.Code == 0 {
		c.t.Errorf("%s %s: succeeded", c.name, strings.Join(args, " "))
	}
	if !strings.Contains(r.Stdout+r.Stderr, reason) {
		c.t.Errorf("%s %s: does not say %q", c.name, strings.Join(args, " "), reason)
	}
	return r
}

// says fails the test unless a command printed all of texts.
func (r result) says(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.Stdout+r.Stderr, text) {
			t.Errorf("the output does not say %q", text)
		}
	}
}

var deployedPattern = regexp.MustCompile(`https?://([a-z0-9.-]+)`)

// deploy runs a command that deploys and returns the site that it names on
// standard output.
func (c *command) deploy(args ...string) site {
	c.t.Helper()
	return c.named(c.run(args...))
}

func (c *command) named(r result) site {
	c.t.Helper()
	found := deployedPattern.FindStringSubmatch(r.Stdout)
	if found == nil {
		c.t.Fatalf("no URL on standard output: %q", r.Stdout)
	}
	return site{c.p, found[1]}
}
