package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lateen-dev/lateen/internal/cli"
	"github.com/lateen-dev/lateen/internal/control/controltest"
	"github.com/lateen-dev/lateen/internal/observe"
)

// TestStories runs each story in testdata against a platform of its own.
func TestStories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			testscript.Run(t, testscript.Params{
				Files: []string{file},
				Setup: func(env *testscript.Env) error {
					home := filepath.Join(env.WorkDir, ".home")
					env.Setenv("HOME", home)
					env.Setenv("URL", p.url)
					env.Setenv("PORT", p.url[strings.LastIndex(p.url, ":")+1:])
					env.Setenv("SECRET", p.Token)
					return os.Mkdir(home, 0o755)
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"lateen":  p.lateen,
					"exits":   p.exits,
					"output":  output,
					"get":     p.get,
					"failed":  p.failed,
					"uploads": p.wantUploads,
					"save":    save,
					"settle":  p.settle,
				},
				RequireExplicitExec: true,
			})
		})
	}
}

// passed are the environment variables of a story that commands see.
var passed = []string{"HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LATEEN_API", "LATEEN_TOKEN", "LATEEN_SCOPE", "NO_COLOR", "CLICOLOR_FORCE"}

// call runs a command in this process; "<" gives it a file to read.
func (p *platform) call(ts *testscript.TestScript, args []string) int {
	state := cli.State{Dir: ts.MkAbs("."), Stdin: strings.NewReader(""), Stdout: ts.Stdout(), Stderr: ts.Stderr()}
	for _, name := range passed {
		if value := ts.Getenv(name); value != "" {
			state.Env = append(state.Env, name+"="+value)
		}
	}
	if n := len(args); n >= 2 && args[n-2] == "<" {
		state.Stdin = strings.NewReader(ts.ReadFile(args[n-1]))
		args = args[:n-2]
	}
	state.Args = args
	return cli.Run(p.ctx, state)
}

// lateen runs a command that is to succeed, or with ! to fail.
func (p *platform) lateen(ts *testscript.TestScript, neg bool, args []string) {
	if code := p.call(ts, args); (code != 0) != neg {
		ts.Fatalf("lateen %s: exit code %d", strings.Join(args, " "), code)
	}
}

// exits runs a command that is to end with an exit code: exits 4 inspect nothing.
func (p *platform) exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if code := p.call(ts, args[1:]); code != want {
		ts.Fatalf("lateen %s: exit code %d, want %d", strings.Join(args[1:], " "), code, want)
	}
}

// output writes a build output: output shop [target].
func output(ts *testscript.TestScript, _ bool, args []string) {
	target := "preview"
	if len(args) > 1 {
		target = args[1]
	}
	for name, text := range controltest.Files(target) {
		file := filepath.Join(ts.MkAbs(args[0]), filepath.FromSlash(name))
		ts.Check(os.MkdirAll(filepath.Dir(file), 0o755))
		ts.Check(os.WriteFile(file, []byte(text), 0o644))
	}
}

// get asks a site: get http://shop.localhost:8080/ prints status, x-lateen-start
// if it is there, and body.
func (p *platform) get(ts *testscript.TestScript, _ bool, args []string) {
	u, err := url.Parse(args[0])
	ts.Check(err)
	req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, p.url+u.RequestURI(), nil)
	ts.Check(err)
	req.Host = u.Host
	resp, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	start := ""
	if h := resp.Header.Get("X-Lateen-Start"); h != "" {
		start = "X-Lateen-Start: " + h + "\n"
	}
	fmt.Fprintf(ts.Stdout(), "%d\n%s%s", resp.StatusCode, start, body)
}

// failed asks a site for a page that fails, and keeps the id of the request that the
// page names in a command: failed http://shop.localhost:8080/api/hello sets REQUEST.
func (p *platform) failed(ts *testscript.TestScript, _ bool, args []string) {
	u, err := url.Parse(args[0])
	ts.Check(err)
	req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, p.url+u.RequestURI(), nil)
	ts.Check(err)
	req.Host = u.Host
	req.Header.Set("Accept", "text/html")
	resp, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	ts.Check(err)
	command := regexp.MustCompile(`lateen logs --request (req_\w+)`).FindSubmatch(page)
	if command == nil {
		ts.Fatalf("the page names no command for its request:\n%s", page)
	}
	ts.Setenv("REQUEST", string(command[1]))
}

// uploads checks how many files were uploaded since the last time.
func (p *platform) wantUploads(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if n := p.takeUploads(); n != want {
		ts.Fatalf("%d files were uploaded, want %d", n, want)
	}
}

// save stores the output of the last command, without the line break: save URL.
func save(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// settle waits until that many requests are in the log: it is written a moment
// after they end.
func (p *platform) settle(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(waitLimit); ; {
		kept, _, err := p.logs.Query(p.ctx, observe.Query{Limit: 1000})
		ts.Check(err)
		if len(slices.DeleteFunc(kept, func(e observe.Entry) bool { return e.Method == "" })) >= want {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			ts.Fatalf("%+v in the log after %v, want %d", p.logs.Stats(), waitLimit, want)
		}
	}
}
