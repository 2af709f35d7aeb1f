package cli_test

import (
	"bytes"
	"context"
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

// waitLimit bounds waits: a machine may be busy with other tests.
const waitLimit = 5 * time.Minute

// eventually waits for an effect of a goroutine.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(waitLimit); !is(); {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", waitLimit, what)
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

func TestAnInterruptedCreationSaysThatTheDeploymentMayExist(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "shop")
	controltest.Output(t, dir, "production")
	s, out, errs := p.command(t, dir, "deploy")
	if code := cli.Run(t.Context(), s); code != 0 {
		t.Fatalf("the deployment: %d\n%s", code, errs)
	}
	first := strings.TrimSpace(out.String())
	for _, one := range []struct {
		call string // that is interrupted
		args []string
		want string // "" is no notice
	}{
		{"POST /v13/deployments", []string{"deploy", "--prod"}, "List the deployments with `lateen ls shop`."},
		{"POST /v13/deployments", []string{"redeploy", first}, "List the deployments with `lateen ls`."},
		{"GET /v9/projects/", []string{"deploy", "--prod"}, ""},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		p.mu.Lock()
		p.fail = func(r *http.Request) int {
			if !strings.HasPrefix(r.Method+" "+r.URL.Path, one.call) {
				return 0
			}
			_, _ = io.Copy(io.Discard, r.Body) // the server notices the end of the connection only then
			cancel()
			<-r.Context().Done()
			return http.StatusTeapot
		}
		p.mu.Unlock()
		s, _, errs := p.command(t, dir, one.args...)
		if code := cli.Run(ctx, s); code != 130 {
			t.Errorf("lateen %v ends with %d, want 130", one.args, code)
		}
		told := strings.Contains(errs.String(), "The deployment may have been created.")
		if told != (one.want != "") || !strings.Contains(errs.String(), one.want) {
			t.Errorf("lateen %v, interrupted in %s, printed\n%s", one.args, one.call, errs)
		}
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
