// Package guest_test sends visitors' requests through a real edge, a real fleet and
// real processes, and checks the response of each visitor when user code misbehaves.
// With -worker the fleet is behind the socket of a worker.
package guest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/worker"
)

func TestMain(m *testing.M) {
	relay.Main()
	os.Exit(m.Run())
}

// platform is an edge over a fleet over processes, with one deployment at
// app.localhost.
type platform struct {
	t        *testing.T
	engine   *local.Engine
	logs     *enginetest.Logs
	manifest *lateen.Manifest
	trees    string
	address  string // of the edge
	networks bool   // functions have a network
	client   *http.Client
}

// newPlatform returns a platform without functions, which serves until the test
// ends. Functions may connect to the platform itself and to the further addresses.
func newPlatform(t *testing.T, reach ...net.Addr) *platform {
	t.Helper()
	p := &platform{t: t, logs: &enginetest.Logs{}, trees: enginetest.Reachable(t), manifest: &lateen.Manifest{
		Version: 1, Files: map[string]lateen.File{}, Functions: map[string]lateen.Function{},
		Outputs: map[string]string{}, Prerenders: map[string]lateen.Prerender{},
	}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = listener.Addr().String()
	network := egress.Options{}
	for _, at := range append(reach, listener.Addr()) {
		network.Host = append(network.Host, netip.MustParseAddrPort(at.String()))
	}
	events := worker.NewEvents()
	p.engine = p.newEngine(egress.New(network), events)
	p.networks = slices.ContainsFunc(p.engine.Layers(), func(w sandbox.Layer) bool { return w.Name == "a network device" && w.Missing == "" })
	f := fleet.New(fleet.Options{Engine: p.engine, Log: slog.New(slog.DiscardHandler)})
	functions := p.functions(f, events)
	p.run(p.engine.Run)
	p.run(f.Run)
	kept, err := cache.Open(cache.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p.run(kept.Run)
	store, err := artifact.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := edge.New(edge.Options{
		Artifacts: store, Source: p, Fleet: functions, Cache: kept, Plain: []net.Listener{listener}, Port: portOf(listener),
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	e.Route(map[string]lateen.Binding{"app.localhost": {Deployment: "dpl_1"}})
	p.run(e.Run)
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", p.address)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	p.client = &http.Client{Transport: transport}
	return p
}

func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (p *platform) newEngine(network *egress.Network, events *worker.Events) *local.Engine {
	p.t.Helper()
	var logs engine.LogSink = p.logs
	if *onWorker {
		logs = events
	}
	tools := enginetest.Toolchain(p.t)
	e, err := local.New(local.Options{
		Dir: filepath.Join(enginetest.Reachable(p.t), "run"), TreesDir: p.trees, Logs: logs, Toolchain: tools, Pool: 1, TimeoutFactor: 10, // with the race detector, on a busy machine
		Network: network, Path: filepath.SplitList(os.Getenv("PATH")),
		Trees: func(_ context.Context, tree lateen.Digest) (string, error) {
			return filepath.Join(p.trees, string(tree)), nil
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := tools.Node(p.t.Context(), 24); err != nil {
		p.t.Fatal(err)
	}
	return e
}

// run runs a part of the platform until the test ends.
func (p *platform) run(part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Error(err)
		}
	})
}

// Site returns the one deployment.
func (p *platform) Owner(context.Context, lateen.DeploymentID) (lateen.TeamID, lateen.ProjectID, error) {
	return "team_1", "prj_1", nil
}

func (p *platform) Site(context.Context, lateen.DeploymentID) (*lateen.Site, error) {
	return &lateen.Site{
		Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Host: "app-abc-team.localhost", Target: "production", Manifest: p.manifest,
	}, nil
}

// function puts a function with one file at path; functions come before the
// first request.
func (p *platform) function(path string, f lateen.Function, source string) {
	p.t.Helper()
	f.Tree = lateen.Digest(strings.ReplaceAll(strings.Trim(path, "/"), "/", "-"))
	file := filepath.Join(p.trees, string(f.Tree), f.Handler)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(source), 0o644)); err != nil {
		p.t.Fatal(err)
	}
	p.manifest.Functions[path], p.manifest.Outputs[path] = f, path
}

// withPort returns code with the port of the edge in place of PORT.
func (p *platform) withPort(code string) string {
	_, port, _ := net.SplitHostPort(p.address)
	return strings.ReplaceAll(code, "PORT", port)
}

// get requests a path of the deployment. Headers are "Name: value".
func (p *platform) get(path string, headers ...string) (*http.Response, string) {
	p.t.Helper()
	return p.send(http.MethodGet, path, "", headers...)
}

func (p *platform) send(method, path, body string, headers ...string) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://app.localhost"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header[name] = append(req.Header[name], value)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatalf("%s %s: %v after %q", method, path, err, text)
	}
	return resp, string(text)
}

// awaitLine returns a line that a function wrote, once it is there.
func (p *platform) awaitLine(text string) lateen.LogLine {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, line := range p.logs.Lines() {
			if strings.Contains(line.Text, text) {
				return line
			}
		}
		select {
		case <-tick.C:
		case <-p.t.Context().Done():
			p.t.Fatalf("no line with %q", text)
		}
	}
}

// node is a function of Node.js, web one whose exports take a Request.
func node() lateen.Function {
	return lateen.Function{Runtime: "nodejs24.x", Handler: "index.js", LauncherType: "Nodejs", AddHelpers: true}
}

func web() lateen.Function {
	return lateen.Function{Runtime: "nodejs24.x", Handler: "index.mjs", LauncherType: "Nodejs"}
}

func edgeFunction() lateen.Function {
	return lateen.Function{Runtime: "edge", Handler: "index.js"}
}
