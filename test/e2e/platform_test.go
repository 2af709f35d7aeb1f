//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/test/link"
)

// platform is a `lateen up` in a process of its own, on a data directory and a
// port of its own.
type platform struct {
	dir   string   // holds everything below
	env   []string // further environment of the process
	port  int
	url   string // of the API
	token string // of the owner, once started

	http *http.Client // reaches the platform for every host; follows no redirect

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone
	err    error         // how it ended, once exited is closed
}

// newPlatform returns a platform that is not started. Its directory can be
// passed by every user, as that of an installed one.
func newPlatform(env ...string) (*platform, error) {
	dir, err := os.MkdirTemp("", "lateen-e2e-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	p := &platform{dir: dir, env: env}
	if p.port, err = freePort(); err != nil {
		return nil, err
	}
	p.url = fmt.Sprintf("http://127.0.0.1:%d", p.port)
	p.http = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, p.addr())
			},
			DisableCompression: true, MaxIdleConnsPerHost: 8,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p, errors.Join(os.Mkdir(p.home(), 0o700), linkRuntimes(p.data()))
}

// freePort returns a port that was free a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil // of a TCP listener
}

// runtimeCache keeps the runtimes that platforms fetched from one run of the
// tests to the next.
func runtimeCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "lateen-test", "runtimes")
}

func (p *platform) addr() string    { return "127.0.0.1:" + strconv.Itoa(p.port) }
func (p *platform) data() string    { return filepath.Join(p.dir, "data") }
func (p *platform) home() string    { return filepath.Join(p.dir, "home") }
func (p *platform) logFile() string { return filepath.Join(p.dir, "log") }

// start runs the process and waits until it answers.
func (p *platform) start() error {
	if err := p.spawn(); err != nil {
		return err
	}
	return p.ready(3 * time.Minute) // the first start may fetch runtimes
}

// spawn runs the process.
func (p *platform) spawn() error {
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(binary, "up", "--data", p.data(), "--listen", p.addr())
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.home(), "TMPDIR=" + os.TempDir(), goRace, "LATEEN_TEST_PROGRAM=" + os.Getenv("LATEEN_TEST_PROGRAM"),
		"NPM_CONFIG_REGISTRY=" + os.Getenv("NPM_CONFIG_REGISTRY"),
	}, p.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.exited = make(chan struct{})
	go func() {
		defer close(p.exited)
		p.err = p.cmd.Wait()
	}()
	return nil
}

// ready waits until the process answers, and reads its token.
func (p *platform) ready(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit) //nolint:forbidigo // it serves more than one test
	defer cancel()
	err := within(ctx, limit, func() error {
		select {
		case <-p.exited:
			cancel()
			return fmt.Errorf("lateen up ended: %w", p.err)
		default:
		}
		resp, err := p.http.Get(p.url + "/healthz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/healthz answers %s", resp.Status)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.logTail(40))
	}
	token, err := os.ReadFile(filepath.Join(p.data(), "token"))
	p.token = strings.TrimSpace(string(token))
	return err
}

// signal sends a signal to the process and, unless it ends within limit, kills it.
func (p *platform) signal(s os.Signal, limit time.Duration) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(limit):
		_ = p.cmd.Process.Kill() // the error below reports it
		<-p.exited
		return fmt.Errorf("lateen did not end within %s of %s", limit, s)
	}
}

// kill ends the process as a power cut would.
func (p *platform) kill() { _ = p.signal(syscall.SIGKILL, time.Minute) } // nothing survives it

// stop ends the process as an operator would, and removes its directory.
func (p *platform) stop() error {
	err := p.signal(syscall.SIGTERM, time.Minute)
	p.http.CloseIdleConnections()
	if cache := runtimeCache(); cache != "" {
		_ = link.Tree(filepath.Join(p.data(), "runtimes"), cache) // the next run fetches them again
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// logTail is the end of the process's output.
func (p *platform) logTail(lines int) string {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	all = all[max(0, len(all)-lines):]
	return "the end of the platform's log:\n" + string(bytes.Join(all, []byte("\n")))
}

// tell prints the end of the platform's log when a test fails.
func (p *platform) tell(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.logTail(40))
		}
	})
}

// client returns a Go client of the platform's API that acts as the owner.
func (p *platform) client() *client.Client {
	return &client.Client{BaseURL: p.url, Token: p.token, HTTP: &http.Client{Transport: p.http.Transport}}
}

// start starts a platform that ends with the test.
func start(t *testing.T, env ...string) *platform {
	t.Helper()
	p, err := newPlatform(env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	p.tell(t)
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// restart starts a platform that was stopped or killed.
func (p *platform) restart(t *testing.T) {
	t.Helper()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
}

// shared is the platform of all tests that neither break nor configure it.
var shared commonPlatform

type commonPlatform struct {
	once sync.Once
	p    *platform
	err  error
}

// common returns the shared platform.
func common(t *testing.T) *platform {
	t.Helper()
	shared.once.Do(func() {
		if shared.p, shared.err = newPlatform(); shared.err == nil {
			shared.err = shared.p.start()
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	shared.p.tell(t)
	return shared.p
}

func (c *commonPlatform) end() {
	if c.p == nil {
		return
	}
	if err := c.p.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// metric reads one of the platform's gauges or counters without labels.
func (p *platform) metric(t *testing.T, name string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := p.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("/metrics has no %s:\n%s", name, text.String())
	return 0
}

// deployed waits until a deployment came to its end.
func (p *platform) settled(t *testing.T, id lateen.DeploymentID) *client.Deployment {
	t.Helper()
	var d *client.Deployment
	eventually(t, func() (err error) {
		if d, err = p.client().Deployment(t.Context(), string(id)); err == nil && !d.State.Final() {
			err = fmt.Errorf("%s is %s", id, d.State)
		}
		return err
	})
	return d
}

// linkRuntimes gives a data directory the runtimes of earlier runs, if there are any.
func linkRuntimes(data string) error {
	err := link.Tree(runtimeCache(), filepath.Join(data, "runtimes"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
