//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// notRun is before a block of commands that this machine cannot run, with the reason.
const notRun = "<!-- not run: "

// shellBlocks are the command blocks of a page, except those marked as not run.
func shellBlocks(page string) []string {
	var blocks []string
	before, open, skip := "", false, false
	var block strings.Builder
	for line := range strings.Lines(page) {
		text := strings.TrimSpace(line)
		switch {
		case !open && text == "```sh":
			open, skip = true, strings.HasPrefix(before, notRun)
			block.Reset()
		case open && text == "```":
			if open = false; !skip {
				blocks = append(blocks, block.String())
			}
		case open:
			block.WriteString(line)
		}
		before = text
	}
	return blocks
}

// The commands of README.md and of the how-tos are typed as they are there, against a
// real platform. The addresses of the pages lead to it, and the applications whose
// directories they name are small ones.
func TestTheCommandsOfTheDocumentationWork(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(root(t), "docs", "how-to", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("there are no how-tos: %v", err)
	}
	p := start(t, "LATEEN_POOL=1")
	tools := commandTools(t)
	ran := 0
	for _, page := range append([]string{filepath.Join(root(t), "README.md")}, pages...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := shellBlocks(string(text))
		if len(blocks) == 0 {
			continue
		}
		ran++
		t.Run(filepath.Base(page), func(t *testing.T) { p.types(t, tools, blocks) })
	}
	if ran < 6 {
		t.Errorf("%d pages have commands that are run", ran)
	}
}

// commandTools is a directory with the commands that pages use: lateen, whose `up` is
// the platform that runs already, vercel and npx.
func commandTools(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cli := filepath.Join(root(t), "examples", "node_modules", "vercel", "dist", "vc.js")
	for name, script := range map[string]string{
		"lateen": `[ "$1" = up ] && exit; exec ` + binary + ` "$@"`,
		"vercel": `exec ` + filepath.Join(nodeDir(t), "node") + ` ` + cli + ` "$@" -Q "$HOME/vercel"`,
		"npx":    `exec "$@"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	return dir
}

var (
	entered = regexp.MustCompile(`(?m)^cd (\S+)`)
	address = regexp.MustCompile(`https://api\.example\.com|http://127\.0\.0\.1:8080`)
)

// types runs the blocks of a page in one shell, in the order of the page.
func (p *platform) types(t *testing.T, tools string, blocks []string) {
	t.Helper()
	home := t.TempDir()
	data := filepath.Join(home, ".local", "share")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(p.data(), filepath.Join(data, "lateen")); err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	if !entered.MatchString(strings.Join(blocks, "\n")) { // it is about a project that is there
		blocks = append([]string{"cd linked\nlateen link\nnpx vercel build --prod\nlateen deploy --prod\n"}, blocks...)
	}
	for i, block := range blocks {
		for _, dir := range entered.FindAllStringSubmatch(block, -1) {
			smallApp(t, filepath.Join(home, dir[1]))
		}
		if strings.HasPrefix(block, "cd ") { // it starts again
			script += "cd \"$HOME\"\n"
		}
		script += fmt.Sprintf("echo '# block %d' >&2\n%s\n", i+1, block)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", address.ReplaceAllString(script, p.url))
	cmd.Dir = home
	cmd.Env = []string{
		"PATH=" + tools + ":" + nodeDir(t) + ":" + os.Getenv("PATH"), "HOME=" + home, "LATEEN_API=" + p.url, "LATEEN_TOKEN=" + p.token, goRace,
		"NO_COLOR=1", "CI=1", "VERCEL_TELEMETRY_DISABLED=1", "NO_UPDATE_NOTIFIER=1",
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, script, out)
	}
}

// smallApp writes an application of a page and a function.
func smallApp(t *testing.T, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "package.json"), `{"private":true}`)
	write(t, filepath.Join(dir, "public", "index.html"), "<h1>hello</h1>\n")
	write(t, filepath.Join(dir, "api", "hello.js"), "module.exports = (req, res) => res.end('hello\\n')\n")
	write(t, filepath.Join(dir, ".vercel", "README.txt"), "as of another platform\n")
	write(t, filepath.Join(dir, ".env.moved"), "# Created by Vercel CLI\nCOLOR=\"teal\"\nVERCEL=\"1\"\n")
}
