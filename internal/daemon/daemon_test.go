package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
)

func TestMain(m *testing.M) {
	relay.Main()
	wasi.Main()
	switch {
	case len(os.Args) > 2 && os.Args[1] == platformMode:
		if err := platformMain(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "platform:", err)
			os.Exit(1)
		}
		os.Exit(0)
	case len(os.Args) == 2 && os.Args[1] == "version": // a reload checks its successor with this command
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func settings(t testing.TB) *config.Config {
	t.Helper()
	c := config.Default(func(string) string { return "" })
	c.Data, c.Listen, c.DrainTimeout, c.Pool = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", 5*time.Second, 0
	c.Registry = "http://127.0.0.1:1" // these tests need no runtime
	return c
}

// start runs a daemon until the test ends or calls stop.
func start(t testing.TB, c *config.Config) (d *daemon.Daemon, stop func()) {
	t.Helper()
	return startWith(t, daemon.Options{Config: c})
}

func startWith(t testing.TB, o daemon.Options) (d *daemon.Daemon, stop func()) {
	t.Helper()
	d, err := daemon.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return d, stop
}

// TestCompiledCodeOfEarlierVersionsIsRemoved opens a data directory in which an
// earlier version stored compiled WebAssembly modules.
func TestCompiledCodeOfEarlierVersionsIsRemoved(t *testing.T) {
	c := settings(t)
	old := filepath.Join(c.Data, "modules")
	if err := errors.Join(os.MkdirAll(old, 0o700), os.WriteFile(filepath.Join(old, "code"), []byte("compiled"), 0o600)); err != nil {
		t.Fatal(err)
	}
	start(t, c)
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory still exists: %v", err)
	}
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestTheFirstStartCreatesAnOwnerThatLaterStartsKeep(t *testing.T) {
	c := settings(t)
	d, stop := start(t, c)
	token, first := d.Token()
	if !first || token == "" {
		t.Fatalf("the first start gives token %q, first %v", token, first)
	}
	info, err := os.Stat(filepath.Join(c.Data, "token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v; want it for its owner alone", info, err)
	}
	if status, body := get(t, "http://"+d.Addr()+"/v2/user", token); status != http.StatusOK || !strings.Contains(body, c.Team) {
		t.Errorf("whoami: %d %s", status, body)
	}
	stop()

	again, _ := start(t, c)
	if kept, first := again.Token(); first || kept != token {
		t.Errorf("the second start gives another token, or calls itself the first")
	}
	if status, _ := get(t, "http://"+again.Addr()+"/v2/user", token); status != http.StatusOK {
		t.Errorf("the token of the first start answers %d after a restart", status)
	}
}

func TestALostTokenFileIsReplacedByAnotherToken(t *testing.T) {
	c := settings(t)
	d, stop := start(t, c)
	first, _ := d.Token()
	stop()
	if err := os.Remove(filepath.Join(c.Data, "token")); err != nil {
		t.Fatal(err)
	}
	d, _ = start(t, c)
	second, _ := d.Token()
	if second == "" || second == first {
		t.Fatal("no new token was made")
	}
	if status, _ := get(t, "http://"+d.Addr()+"/v2/user", second); status != http.StatusOK {
		t.Errorf("the new token answers %d", status)
	}
}

func TestASecondDaemonOnTheSameDirectoryRefuses(t *testing.T) {
	c := settings(t)
	start(t, c)
	_, err := daemon.New(t.Context(), daemon.Options{Config: c})
	if lateen.CodeOf(err) != lateen.Conflict || !strings.Contains(err.Error(), c.Data) {
		t.Errorf("got %v, want a conflict that names %s", err, c.Data)
	}
	if e, ok := errors.AsType[*lateen.Error](err); !ok || e.Hint == "" {
		t.Errorf("%v has no hint", err)
	}
}

func TestAFileAsDataDirectoryIsRefused(t *testing.T) {
	c := settings(t)
	if err := os.WriteFile(c.Data, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.New(t.Context(), daemon.Options{Config: c})
	if lateen.CodeOf(err) != lateen.Invalid || !strings.Contains(err.Error(), c.Data+": not a directory") {
		t.Errorf("got %v, want it refused by its name", err)
	}
}

func TestUnusableSettingsAreReportedWithAHint(t *testing.T) {
	for name, s := range map[string]struct {
		change func(*config.Config)
		want   lateen.Code
		text   string
	}{
		"certificate": {func(c *config.Config) { c.TLSCert, c.TLSKey = "/nope.pem", "/nope.key" }, lateen.Invalid, "/nope.pem"},
		"database":    {func(c *config.Config) { c.Database = "postgres://someone:secret@127.0.0.1:1/shop" }, lateen.Unavailable, "127.0.0.1"},
	} {
		c := settings(t)
		s.change(c)
		_, err := daemon.New(t.Context(), daemon.Options{Config: c})
		e, ok := errors.AsType[*lateen.Error](err)
		if !ok || e.Code != s.want || !strings.Contains(e.Message, s.text) || strings.Contains(err.Error(), "secret") || !strings.Contains(e.Hint, "--") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestATakenPortIsReportedAndTheDirectoryIsReleased(t *testing.T) {
	d, _ := start(t, settings(t))
	c := settings(t)
	listen := c.Listen
	c.Listen = d.Addr()
	if _, err := daemon.New(t.Context(), daemon.Options{Config: c}); err == nil || !strings.Contains(err.Error(), d.Addr()) {
		t.Errorf("got %v, want the address named", err)
	}
	c.Listen = listen
	start(t, c)
}

func TestMetricsNeedAToken(t *testing.T) {
	d, _ := start(t, settings(t))
	token, _ := d.Token()
	if status, body := get(t, "http://"+d.Addr()+"/metrics", "ltn_other"); status != http.StatusUnauthorized || !strings.Contains(body, "the token is not valid") {
		t.Errorf("/metrics answers a wrong token %d %s", status, body)
	}
	if status, body := get(t, "http://"+d.Addr()+"/metrics", ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", status, body)
	}
	if status, body := get(t, "http://"+d.Addr()+"/metrics", token); status != http.StatusOK || !strings.Contains(body, "lateen_instances 0") {
		t.Errorf("with a token: %d", status)
	}
	made := func(scope lateen.Scope) string {
		t.Helper()
		secret, _, err := (&client.Client{BaseURL: "http://" + d.Addr(), Token: token}).CreateToken(t.Context(), client.TokenRequest{Name: string(scope), Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	if status, _ := get(t, "http://"+d.Addr()+"/metrics", made(lateen.ScopeMetrics)); status != http.StatusOK {
		t.Errorf("with a token of the scope metrics: %d", status)
	}
	if status, _ := get(t, "http://"+d.Addr()+"/metrics", made(lateen.ScopeDeploy)); status != http.StatusForbidden {
		t.Errorf("with a token of the scope deploy: %d", status)
	}
}
