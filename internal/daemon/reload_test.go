package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/socket"
)

// With platformMode as its first argument, the test program runs a platform in the
// directory that is its second argument.
const platformMode = "run-platform"

// platformMain is the main function of the platform's process.
func platformMain(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM) //nolint:forbidigo // it is a main function
	defer stop()
	sockets, err := socket.Inherit(os.Environ(), os.Getpid())
	if err != nil {
		return err
	}
	config.Unset(socket.Vars()...)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	reload := make(chan struct{})
	go func() {
		for range hangups {
			reload <- struct{}{}
		}
	}()
	c, err := config.Load(config.Getenv)
	if err != nil {
		return err
	}
	c.Data, c.Listen, c.Registry = dir, "127.0.0.1:0", "http://127.0.0.1:1"
	d, err := daemon.New(ctx, daemon.Options{
		Config: c, Out: os.Stderr, Sockets: sockets, Reload: reload,
		Successor: &daemon.Successor{
			Program: os.Getenv("TEST_SUCCESSOR"), Args: os.Args, Environ: append(os.Environ(), "TEST_GENERATION=next"), Before: func() { signal.Ignore(syscall.SIGHUP) },
		},
	})
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// supervised is a platform in a process of its own, on a listening socket that the
// test has open.
type supervised struct {
	t       *testing.T
	dir     string
	program string // path of the successor
	addr    string
	socket  *os.File
	cmd     *exec.Cmd
}

func supervise(t *testing.T) *supervised {
	t.Helper()
	return superviseIn(t, filepath.Join(t.TempDir(), "data"))
}

// superviseIn is supervise with a data directory.
func superviseIn(t *testing.T, dir string) *supervised {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &supervised{t: t, dir: dir, program: filepath.Join(t.TempDir(), "lateen"), addr: l.Addr().String()}
	if s.socket, err = l.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.socket.Close() })
	if err := os.Symlink(os.Args[0], s.program); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	})
	return s
}

func (s *supervised) start() {
	s.t.Helper()
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), "/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], platformMode, s.dir)
	s.cmd.ExtraFiles = []*os.File{s.socket}
	s.cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "TEST_SUCCESSOR="+s.program, "LATEEN_POOL=0")
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *supervised) generation() string {
	s.t.Helper()
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.cmd.Process.Pid))
	if err != nil {
		s.t.Skip(err) // this system has no /proc
	}
	if strings.Contains(string(environ), "TEST_GENERATION=next") {
		return "next"
	}
	return "first"
}

// Reloads neither refuse nor cut off requests.
func TestNoRequestIsLostDuringReloads(t *testing.T) {
	s := supervise(t)
	get(t, "http://"+s.addr+"/healthz", "") // waits until the platform serves
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients sync.WaitGroup
	var answered atomic.Int64
	for i := range 6 {
		transport := &http.Transport{DisableKeepAlives: i%2 == 0}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := healthy(t.Context(), client, s.addr); err != nil {
					t.Error(err)
					return
				}
				answered.Add(1)
			}
		})
	}
	some := func() {
		t.Helper()
		for before := answered.Load(); answered.Load() < before+50 && !t.Failed(); {
			<-time.After(time.Millisecond)
		}
	}
	for range 3 {
		some()
		if err := daemon.Reload(t.Context(), s.dir); err != nil {
			t.Fatal(err)
		}
		if got := s.generation(); got != "next" {
			t.Errorf("the process runs the %s program", got)
		}
		some()
	}
	cancel()
	clients.Wait()
	t.Logf("%d answered", answered.Load())
}

func healthy(ctx context.Context, client *http.Client, addr string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/healthz answers %d", resp.StatusCode)
	}
	return nil
}

func TestConnectionsWaitForTheNextStartAfterAKill(t *testing.T) {
	s := supervise(t)
	get(t, "http://"+s.addr+"/healthz", "")
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	got := make(chan error, 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	go func() { got <- healthy(t.Context(), client, s.addr) }()
	s.start()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestASuccessorThatDoesNotRunChangesNothing(t *testing.T) {
	s := supervise(t)
	get(t, "http://"+s.addr+"/healthz", "")
	broken := filepath.Join(t.TempDir(), "broken")
	if err := errors.Join(os.WriteFile(broken, []byte("\x7fELF of another machine"), 0o755), os.Remove(s.program), os.Symlink(broken, s.program)); err != nil {
		t.Fatal(err)
	}
	err := daemon.Reload(t.Context(), s.dir)
	if err == nil || !strings.Contains(err.Error(), "the platform keeps running unchanged: ") || !strings.Contains(err.Error(), "exec format error") {
		t.Errorf("got %v", err)
	}
	if got := s.generation(); got != "first" {
		t.Errorf("the process runs the %s program", got)
	}
	get(t, "http://"+s.addr+"/healthz", "")
	if err := errors.Join(os.Remove(s.program), os.Symlink(os.Args[0], s.program)); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Reload(t.Context(), s.dir); err != nil || s.generation() != "next" {
		t.Errorf("once it runs again: %v, %s", err, s.generation())
	}
}

func TestReloadNeedsAPlatform(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		err := daemon.Reload(t.Context(), dir)
		if lateen.CodeOf(err) != lateen.NotFound || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v, want an error that names %s", err, dir)
		}
	}
	c := settings(t)
	_, stop := start(t, c)
	stop()
	if err := daemon.Reload(t.Context(), c.Data); lateen.CodeOf(err) != lateen.NotFound {
		t.Errorf("after its end: %v", err)
	}
}

func TestPassedSocketsReplaceTheAddress(t *testing.T) {
	var addrs []string
	sockets := &socket.Set{}
	for range 2 {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := sockets.Keep("web", l.(*net.TCPListener)); err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
		l.Close()
	}
	c := settings(t)
	c.Listen = "192.0.2.1:1" // address of no machine (RFC 5737)
	d, err := daemon.New(t.Context(), daemon.Options{Config: c, Sockets: sockets})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	if d.Addr() != addrs[0] {
		t.Errorf("it says %s, want %s", d.Addr(), addrs[0])
	}
	for _, addr := range addrs {
		if status, _ := get(t, "http://"+addr+"/healthz", ""); status != http.StatusOK {
			t.Errorf("%s answers %d", addr, status)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addrs[0]); err == nil {
		c.Close()
		t.Error("the address accepts connections after the end of the daemon")
	}
}
