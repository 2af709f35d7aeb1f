package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/test/bench/proc"
	"github.com/lateen-dev/lateen/test/link"
)

// platform is a `lateen up` in a process of its own, on a data directory and a
// port of its own.
type platform struct {
	*process

	bench *bench
	dir   string // of data
	addr  string
	flags []string
	token string
	held  []*os.File // the socket it serves, if it is held for it; see hold
	blank int        // number of processes of the idle platform
}

// up starts a platform with further flags.
func (b *bench) up(ctx context.Context, flags ...string) (*platform, error) {
	p, err := b.place(ctx, flags...)
	if err != nil {
		return nil, err
	}
	return p, p.start(ctx)
}

// place creates the directory of a platform that has not been started.
func (b *bench) place(ctx context.Context, flags ...string) (*platform, error) {
	dir, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as an installed one
		return nil, err
	}
	if err := link.Tree(b.tools.runtimes, filepath.Join(dir, "runtimes")); err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	return &platform{bench: b, dir: dir, addr: "127.0.0.1:" + port, flags: flags}, nil
}

// start starts the platform on its data, where it was stopped or never
// started. Data of one that does not start is removed.
func (p *platform) start(ctx context.Context) (err error) {
	args := append([]string{"up", "--data", p.dir, "--listen", p.addr}, p.flags...)
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "NPM_CONFIG_REGISTRY=" + os.Getenv("NPM_CONFIG_REGISTRY")}
	if p.process, err = p.bench.spawn(ctx, "lateen", p.bench.tools.lateen, args, env, p.held...); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	err = p.ready(ctx, time.Minute, func() error {
		resp, err := send(ctx, p.addr, request{host: p.addr, path: "/healthz"})
		if err == nil && resp.status != http.StatusOK {
			err = fmt.Errorf("/healthz answers %d", resp.status)
		}
		return err
	})
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(p.dir, "token"))
	p.token = strings.TrimSpace(string(token))
	return err
}

// hold opens the platform's socket for it, as a supervisor does: while no process
// serves it, new connections wait.
func (p *platform) hold(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return errors.New("a TCP listener is none")
	}
	f, err := tcp.File()
	p.held = append(p.held, f)
	return err
}

// stop ends the platform and removes its data.
func (p *platform) stop() {
	p.process.stop()
	for _, f := range p.held {
		f.Close()
	}
	_ = os.RemoveAll(p.dir) // part of the directory that the run removes
}

// waitIdle waits until the platform is idle and its pool of blank processes is full, and
// records the number of its processes for settle.
func (p *platform) waitIdle(ctx context.Context) error {
	p.blank = 0
	for range 3 { // a single window may fall between two activities
		if err := p.settle(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	p.blank = len(proc.Tree(p.cmd.Process.Pid))
	return nil
}

var errNotIdle = errors.New("the platform did not become idle")

// settle waits until the platform has the number of processes that waitIdle recorded,
// and they use less than 2 % of a CPU during a window of time.
func (p *platform) settle(ctx context.Context, window time.Duration) error {
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		pids := proc.Tree(p.cmd.Process.Pid)
		before := proc.Ran(pids)
		if err := pause(ctx, window); err != nil {
			return err
		}
		after := proc.Tree(p.cmd.Process.Pid)
		if len(after) == len(pids) && proc.Ran(after)-before < window/50 && (p.blank == 0 || len(after) == p.blank) {
			return nil
		}
	}
	return errNotIdle
}

// site is a deployment.
type site struct {
	platform *platform
	host     string // as in a Host header
	project  string
}

// deploy deploys a directory with the lateen CLI.
func (p *platform) deploy(ctx context.Context, dir string) (*site, error) {
	out, err := p.lateen(ctx, dir, "http://"+p.addr, "deploy", "--json", "--yes")
	if err != nil {
		return nil, err
	}
	var reply struct {
		URL     string `json:"siteUrl"`
		Project string `json:"name"`
	}
	if err := json.Unmarshal(out, &reply); err != nil {
		return nil, fmt.Errorf("lateen deploy --json says %q: %w", out, err)
	}
	_, host, _ := strings.Cut(reply.URL, "://")
	return &site{platform: p, host: strings.TrimSuffix(host, "/"), project: reply.Project}, nil
}

// lateen runs the lateen CLI in a directory against api and returns its output.
func (p *platform) lateen(ctx context.Context, dir, api string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.bench.tools.lateen, append(args, "--api", api)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "LATEEN_TOKEN=" + p.token, "NO_COLOR=1"}
	return answer(cmd)
}

// vercel runs the vercel CLI likewise.
func (p *platform) vercel(ctx context.Context, dir, api string, args ...string) ([]byte, error) {
	t := p.bench.tools
	args = append(append([]string{t.vercel}, args...), "--api", api, "-Q", filepath.Join(p.dir, "vercel"))
	cmd := exec.CommandContext(ctx, filepath.Join(t.nodeDir, "node"), args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + t.nodeDir + ":" + os.Getenv("PATH"), "HOME=" + p.dir, "VERCEL_TOKEN=" + p.token,
		"VERCEL_TELEMETRY_DISABLED=1", "NO_UPDATE_NOTIFIER=1", "NO_COLOR=1", "CI=1",
	}
	return answer(cmd)
}

// answer runs a command and returns its standard output, or an error with the end of
// its output.
func answer(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		text := string(out) + string(exit.Stderr)
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[1:min(3, len(cmd.Args))], " "), err, text[max(0, len(text)-400):])
	}
	return out, err
}

// record waits for and returns the platform's record of a request.
func (s *site) record(ctx context.Context, id lateen.RequestID) (*lateen.Record, error) {
	c := &client.Client{BaseURL: "http://" + s.platform.addr, Token: s.platform.token}
	project, err := c.Project(ctx, s.project)
	if err != nil {
		return nil, err
	}
	for range 40 {
		entries, err := c.Entries(ctx, client.LogQuery{Project: project.ID, Request: id}, 1)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			return &entries[0].Record, nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("there is no record of request %s", id)
}

// request is a GET.
type request struct {
	host   string // Host header
	path   string
	header string // lines, each with its end
}

// response is the received response, with its times.
type response struct {
	status      int
	header      http.Header
	body        []byte
	first, last time.Duration // from the request on, to that byte
	closes      bool          // its connection
}

// requestID is the id under which the platform knows the request.
func (r *response) requestID() lateen.RequestID {
	parts := strings.Split(r.header.Get("X-Vercel-Id"), "::")
	return lateen.RequestID(parts[len(parts)-1])
}

// send sends a request over a connection of its own and waits for all of the
// response. The connection is made before the clock runs.
func send(ctx context.Context, addr string, r request) (*response, error) {
	conn, err := connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return ask(conn, r)
}

func connect(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// ask sends a request over conn, as its last, and waits for all of the response.
func ask(conn net.Conn, r request) (*response, error) {
	r.header += "Connection: close\r\n"
	return exchange(conn, bufio.NewReader(conn), r)
}

// exchange sends a request over conn and waits for all of the response, which reader reads.
func exchange(conn net.Conn, reader *bufio.Reader, r request) (*response, error) {
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", r.path, r.host, r.header)
	began := time.Now()
	if _, err := io.WriteString(conn, text); err != nil {
		return nil, err
	}
	if _, err := reader.Peek(1); err != nil {
		return nil, err
	}
	out := &response{first: time.Since(began)}
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out.body, err = io.ReadAll(resp.Body)
	out.status, out.header, out.last, out.closes = resp.StatusCode, resp.Header, time.Since(began), resp.Close
	return out, err
}

// get requests a path of a site and returns an error unless the status is 200.
func (s *site) get(ctx context.Context, path, header string) (*response, error) {
	resp, err := send(ctx, s.platform.addr, request{host: s.host, path: path, header: header})
	if err == nil && resp.status != http.StatusOK {
		err = fmt.Errorf("%s%s answers %d (%s)", s.host, path, resp.status, resp.header.Get("X-Vercel-Error"))
	}
	return resp, err
}
