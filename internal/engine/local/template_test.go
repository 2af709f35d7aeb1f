package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/learn"
	"github.com/lateen-dev/lateen/internal/guest"
)

// probe checks the abilities of its process, and returns its identity.
const probe = `const fs = require('node:fs'), zlib = require('node:zlib'), crypto = require('node:crypto'), dns = require('node:dns');
const { execFile } = require('node:child_process'), { Worker } = require('node:worker_threads'), { promisify } = require('node:util');
const http = require('node:http'), net = require('node:net');
const { random } = Math, { randomUUID, randomInt } = crypto;
const pool = Buffer.alloc(64); // as packages keep them
crypto.randomFillSync(pool);
const bytes = crypto.randomBytes(24);
const webPool = globalThis.crypto.getRandomValues(new Uint8Array(64));
for (let i = 0; i < 3; i++) { random(); randomUUID(); randomInt(1e9); }
let ticks = 0;
setInterval(() => ticks++, 20).unref();
const within = (promise) => Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error('it takes too long')), 20000))]);
const sum = (n) => { let s = 0; for (let i = 0; i < n; i++) s += i % 7; return s; };
const tries = {
  file: async () => { fs.writeFileSync('/tmp/' + process.pid, 'x'); return (await fs.promises.readFile('/tmp/' + process.pid, 'utf8')) === 'x'; },
  gzip: async () => (await promisify(zlib.gzip)('x'.repeat(1e5))).length > 10,
  pbkdf2: async () => (await promisify(crypto.pbkdf2)('a', 'b', 1000, 16, 'sha256')).length === 16,
  sign: async () => { const { privateKey, publicKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return crypto.verify('sha256', Buffer.from('x'), publicKey, crypto.sign('sha256', Buffer.from('x'), privateKey)); },
  digest: async () => (await globalThis.crypto.subtle.digest('SHA-256', new Uint8Array(9))).byteLength === 32,
  dns: async () => (await dns.promises.lookup('localhost')).address.length > 0,
  child: async () => (await promisify(execFile)('/bin/sh', ['-c', 'echo hi'])).stdout === 'hi\n',
  worker: () => new Promise((yes, no) => { const w = new Worker('require("node:worker_threads").parentPort.postMessage(7)', { eval: true });
    w.on('message', (n) => yes(n === 7)); w.on('error', no); }),
  wasm: async () => (await WebAssembly.instantiate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))).instance instanceof WebAssembly.Instance,
  garbage: async () => { let a = []; for (let i = 0; i < 1e6; i++) { a.push({ i, s: 'x' + i }); if (a.length > 2e5) a = []; } return true; },
  server: () => new Promise((yes, no) => { const s = http.createServer((_, res) => res.end('own')); s.on('error', no);
    net.Server.prototype.listen.call(s, '/tmp/own-' + process.pid, () => http.get({ socketPath: '/tmp/own-' + process.pid }, (res) => { s.close(); yes(res.statusCode === 200); }).on('error', no)); }),
  timers: async () => { const before = performance.now(); await new Promise((yes) => setTimeout(yes, 50)); const took = performance.now() - before; return took > 45 && took < 15000; },
  interval: async () => { const before = ticks; await new Promise((yes) => setTimeout(yes, 200)); return ticks > before; },
  clocks: async () => Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 1000 && process.uptime() >= 0 && process.uptime() < 600,
  pids: async () => process.pid === Number(fs.readFileSync('/proc/self/stat', 'latin1').split(' ')[0]) && process.ppid !== process.pid,
  environment: async () => process.env.GREETING === 'hello' && !('LD_PRELOAD' in process.env),
  compiler: async () => { const began = process.cpuUsage(); for (let i = 0; i < 2000; i++) sum(1e4); const used = process.cpuUsage(began); globalThis.loop = (used.user + used.system) / 1e3; return true; },
};
module.exports = async (req, res) => {
  if (req.url === '/exit') process.exit(3);
  if (req.url === '/die') process.kill(process.pid, 'SIGKILL');
  const failed = [];
  if (req.url === '/all') for (const [name, f] of Object.entries(tries)) {
    try { if (!(await within(f()))) failed.push(name); } catch (error) { failed.push(name + ': ' + error.message); }
  }
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ failed, loop: globalThis.loop, env: process.env.WHO, random: [
    random(), Math.random(), randomUUID(), globalThis.crypto.randomUUID(), crypto.randomUUID(), 'int ' + [0, 1, 2, 3].map(() => randomInt(2 ** 47)),
    crypto.randomBytes(8).toString('hex'), pool.toString('hex'), bytes.toString('hex'), Buffer.from(webPool).toString('hex'),
  ].map(String) }));
};
`

// probeResult is the response of probe.
type probeResult struct {
	Failed []string `json:"failed"`
	Loop   float64  `json:"loop"` // ms of CPU time of a hot loop
	Env    string   `json:"env"`
	Random []string `json:"random"`
}

// stage is an engine with functions of one file each.
type stage struct {
	*Engine

	t     testing.TB
	trees string
	logs  *enginetest.Logs
}

func newStage(t testing.TB, change func(*Options)) *stage {
	t.Helper()
	trees, logs := filepath.Join(enginetest.Reachable(t), "trees"), &enginetest.Logs{}
	o := Options{
		Dir: filepath.Join(enginetest.Reachable(t), "run"), TreesDir: trees, Logs: logs, Toolchain: enginetest.Toolchain(t), Pool: 1,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Trees: func(_ context.Context, tree lateen.Digest) (string, error) {
			return filepath.Join(trees, string(tree)), nil
		},
	}
	if change != nil {
		change(&o)
	}
	s := &stage{running(t, o), t, trees, logs}
	s.learner.SetMinCache(0) // includes small code caches
	return s
}

// function returns the spec of a function with one file, in a deployment of its own.
func (s *stage) function(name, runtime, text string) lateen.FunctionSpec {
	s.t.Helper()
	tree := lateen.DigestOf([]byte(text))
	dir := filepath.Join(s.trees, string(tree))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.js"), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	d := lateen.DeploymentID("dpl_" + name)
	return lateen.FunctionSpec{
		Key: lateen.NewFunctionKey(d, "index"), Project: "prj_1", Deployment: d, Name: "index",
		Function: lateen.Function{Runtime: runtime, Handler: "index.js", Tree: tree, LauncherType: "Nodejs"},
		Env:      map[string]string{"GREETING": "hello", "WHO": name},
	}
}

// addTemplate makes a template of a function, and makes starts use it.
func (s *stage) addTemplate(spec lateen.FunctionSpec) error {
	s.t.Helper()
	r, _, err := s.runtimeFor(&spec.Function)
	if err != nil {
		s.t.Fatal(err)
	}
	s.learner.With(spec.Key, func(a *learn.Profile) { a.Cost = time.Second })
	return s.learner.MakeTemplate(s.t.Context(), r, spec)
}

// start starts an instance that ends with the test.
func (s *stage) start(spec lateen.FunctionSpec, want lateen.StartKind) *instance.Instance {
	s.t.Helper()
	started, err := s.Start(s.t.Context(), spec)
	if err != nil {
		s.t.Fatal(err)
	}
	i := started.(*instance.Instance)
	s.t.Cleanup(func() { end(i) })
	if kind := i.Started().Kind; want != "" && kind != want {
		s.t.Fatalf("kind of start: %s, want %s", kind, want)
	}
	return i
}

func tryProbe(t testing.TB, i engine.Instance, path string) (probeResult, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := i.RoundTrip(req)
	if err != nil {
		return probeResult{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return probeResult{}, err
	}
	var x probeResult
	if err := json.Unmarshal(text, &x); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return x, nil
}

func askProbe(t testing.TB, i engine.Instance, path string) probeResult {
	t.Helper()
	x, err := tryProbe(t, i, path)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func needForks(t testing.TB) {
	t.Helper()
	if !guest.Forks() {
		t.Skip("this machine does not support templates")
	}
}

func TestForksOfTemplatesBehaveLikeBootedProcesses(t *testing.T) {
	needForks(t)
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("probe", runtime, probe)
			usual := askProbe(t, s.start(s.function("usual", runtime, probe), ""), "/all")
			if len(usual.Failed) > 0 {
				t.Fatalf("a booted process failed the checks %q", usual.Failed)
			}
			if err := s.addTemplate(spec); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				i := s.start(spec, lateen.StartTemplate)
				got := askProbe(t, i, "/all")
				if len(got.Failed) > 0 {
					t.Errorf("a forked process failed the checks %q", got.Failed)
				}
				if got.Loop > 4*usual.Loop+100 { // it would be ten times as long without optimization
					t.Errorf("a hot loop takes %.1f ms in a forked process, %.1f ms in a booted one", got.Loop, usual.Loop)
				}
				if got.Env != "probe" {
					t.Errorf("environment: %q", got.Env)
				}
			}
			i := s.start(spec, lateen.StartTemplate)
			if _, err := tryProbe(t, i, "/exit"); !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), "process.exit(3)") {
				t.Errorf("error after process.exit: %v", err)
			}
			<-i.Exited
		})
	}
}

func TestForksOfTemplatesNeverRepeatEachOther(t *testing.T) {
	needForks(t)
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("random", runtime, probe)
			if err := s.addTemplate(spec); err != nil {
				t.Fatal(err)
			}
			s.unrepeatedTemplateForks(spec, 100)
		})
	}
}

// unrepeatedTemplateForks starts forked processes and makes each draw random values.
func (s *stage) unrepeatedTemplateForks(spec lateen.FunctionSpec, forks int) {
	s.t.Helper()
	seen := map[string]int{}
	for n := range forks {
		started, err := s.Start(s.t.Context(), spec)
		if err != nil {
			s.t.Fatal(err)
		}
		if kind := started.Started().Kind; kind != lateen.StartTemplate {
			s.t.Fatalf("process %d: kind of start: %s", n, kind)
		}
		for _, value := range askProbe(s.t, started, "/").Random {
			if before, again := seen[value]; again {
				s.t.Errorf("processes %d and %d both drew %s", before, n, value)
			}
			seen[value] = n
		}
		end(started)
	}
}

func TestManyTemplatesForkManyProcesses(t *testing.T) {
	needForks(t)
	const functions, forks = 20, 25
	s := newStage(t, func(o *Options) { o.Templates = 150 }) // small enough to retire some during the test
	for n := range functions {
		spec := s.function(fmt.Sprintf("many%d", n), "nodejs24.x", probe)
		if err := s.addTemplate(spec); err != nil {
			t.Fatal(err)
		}
		for range forks {
			started, err := s.Start(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if kind := started.Started().Kind; kind != lateen.StartTemplate {
				t.Fatalf("kind of start: %s", kind)
			}
			if got := askProbe(t, started, "/"); got.Env != fmt.Sprintf("many%d", n) {
				t.Fatalf("response to function %d from %s", n, got.Env)
			}
			end(started)
		}
	}
	if n := len(s.templates.List()); n == 0 || n == functions {
		t.Errorf("%d templates remain", n)
	}
}

func TestTemplateServesItsOwnFunctionAlone(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	mine, other := s.function("mine", "nodejs24.x", probe), s.function("other", "nodejs24.x", probe) // with the same files
	if err := s.addTemplate(mine); err != nil {
		t.Fatal(err)
	}
	if got := askProbe(t, s.start(other, ""), "/"); got.Env != "other" {
		t.Errorf("response of another deployment's function: %s", got.Env)
	}
	if i := s.start(other, ""); i.Started().Kind == lateen.StartTemplate {
		t.Error("the process was forked from another function's template")
	}
	if got := askProbe(t, s.start(mine, lateen.StartTemplate), "/"); got.Env != "mine" {
		t.Errorf("environment: %s", got.Env)
	}
	changed := mine
	changed.Env = map[string]string{"WHO": "changed"}
	if got := askProbe(t, s.start(changed, ""), "/"); got.Env != "changed" {
		t.Errorf("changed environment: %s", got.Env)
	}
}

func TestStartsSurviveTheEndOfATemplate(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("mortal", "nodejs24.x", probe)
	if err := s.addTemplate(spec); err != nil {
		t.Fatal(err)
	}
	dead := s.templates.Of(spec)
	t.Run("frozen during a start", func(t *testing.T) {
		defer dead.Kill()
		if err := dead.Sandboxed.Freeze(); errors.Is(err, errors.ErrUnsupported) {
			t.Skip("this host cannot freeze a process")
		} else if err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(100*time.Millisecond, dead.Kill)
		defer stop.Stop()
		i := s.start(spec, "")
		if kind := i.Started().Kind; kind == lateen.StartTemplate {
			t.Error("the process was forked from a dead template")
		}
		askProbe(t, i, "/")
	})
	<-dead.Exited
	if s.templates.Of(spec) == dead {
		t.Error("the template remains")
	}
	askProbe(t, s.start(spec, ""), "/")
}

func TestATemplateWhoseForksCrashIsDropped(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("deadly", "nodejs24.x", probe)
	if err := s.addTemplate(spec); err != nil {
		t.Fatal(err)
	}
	i := s.start(spec, lateen.StartTemplate)
	if _, err := tryProbe(t, i, "/die"); !errors.Is(err, lateen.ErrFunctionFailed) {
		t.Errorf("error: %v", err)
	}
	<-i.Idle
	if again := s.start(spec, ""); again.Started().Kind == lateen.StartTemplate {
		t.Error("another process was forked")
	}
	s.learner.With(spec.Key, func(a *learn.Profile) {
		if a.Forkable != learn.Never {
			t.Errorf("templates are not disabled (%d, %s)", a.Forkable, a.Unforkable)
		}
	})
}

func TestForksSurviveTheirTemplate(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("orphan", "nodejs24.x", probe)
	if err := s.addTemplate(spec); err != nil {
		t.Fatal(err)
	}
	i := s.start(spec, lateen.StartTemplate)
	given := s.templates.Of(spec)
	s.templates.Drop(given)
	askProbe(t, i, "/all")
	end(i)
	select {
	case <-given.Exited:
	case <-time.After(waitLimit):
		t.Error("the template is still running after its last forked process")
	}
}

func TestStateThatAForkLosesForbidsTemplates(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	const answer = "module.exports = (req, res) => res.end('{}');\n"
	for name, c := range map[string]struct{ text, why string }{
		"connection": {"require('node:net').connect('/tmp/nobody').on('error', () => {});\n", "opened a connection"},
		"fetch":      {"fetch('http://127.0.0.1:59999').catch(() => {});\n", "opened a connection"},
		"listener":   {"require('node:net').createServer().listen('/tmp/own');\n", "listens on a socket"},
		"datagrams":  {"require('node:dgram').createSocket('udp4').bind(0, '127.0.0.1').on('error', () => {});\n", "opened a socket"},
		"process":    {"require('node:child_process').execFile('/bin/sh', ['-c', 'true']);\n", "started a process"},
		"worker":     {"new (require('node:worker_threads').Worker)('0', { eval: true });\n", "started a worker"},
		"watcher":    {"require('node:fs').watch('/tmp', () => {});\n", "cannot carry over (FSEvent"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := s.function(name, "nodejs24.x", c.text+answer)
			for range 2 { // with requests, and without
				if err := s.addTemplate(spec); err == nil || !strings.Contains(err.Error(), c.why) {
					t.Errorf("error: %v, want %q", err, c.why)
				}
			}
			s.learner.With(spec.Key, func(a *learn.Profile) {
				if a.Forkable != learn.Never || s.templates.Has(spec.Key) {
					t.Errorf("forkability: %d", a.Forkable)
				}
			})
			askProbe(t, s.start(spec, ""), "/")
		})
	}
	t.Run("files of earlier requests", func(t *testing.T) {
		spec := s.function("files", "nodejs24.x", "const fs = require('node:fs'); fs.writeFileSync('/tmp/loaded', ''); let n = 0;\n"+
			"module.exports = (req, res) => { fs.writeFileSync('/tmp/' + process.pid + '-' + n++, ''); res.end(JSON.stringify({ random: fs.readdirSync('/tmp') })); };\n")
		if err := s.addTemplate(spec); err == nil || !strings.Contains(err.Error(), "temporary files") {
			t.Errorf("error: %v", err)
		}
		if err := s.addTemplate(spec); err != nil {
			t.Errorf("error without requests: %v", err)
		}
		if got := askProbe(t, s.start(spec, lateen.StartTemplate), "/"); len(got.Random) != 2 {
			t.Errorf("a forked process found %q", got.Random)
		}
	})
	t.Run("only during a request", func(t *testing.T) {
		spec := s.function("late", "nodejs24.x", "module.exports = (req, res) => {\n"+
			"  require('node:net').connect('/tmp/nobody').on('error', () => res.end('{}'));\n};\n")
		if err := s.addTemplate(spec); err == nil || !strings.Contains(err.Error(), "opened a connection") {
			t.Errorf("error: %v", err)
		}
		if err := s.addTemplate(spec); err != nil {
			t.Errorf("error without requests: %v", err)
		}
		askProbe(t, s.start(spec, lateen.StartTemplate), "/")
	})
}

// BenchmarkTemplateForks runs the checks of the tests on any number of forked
// processes: -benchtime 1000x.
func BenchmarkTemplateForks(b *testing.B) {
	needForks(b)
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		b.Run(runtime, func(b *testing.B) {
			s := newStage(b, nil)
			spec := s.function("bench", runtime, probe)
			if err := s.addTemplate(spec); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			s.unrepeatedTemplateForks(spec, b.N)
		})
	}
}

// BenchmarkTemplates makes templates, each with forked processes.
func BenchmarkTemplates(b *testing.B) {
	needForks(b)
	s := newStage(b, nil)
	for n := range b.N {
		spec := s.function(fmt.Sprintf("t%d", n), "nodejs24.x", probe)
		if err := s.addTemplate(spec); err != nil {
			b.Fatal(err)
		}
		s.unrepeatedTemplateForks(spec, 10)
		s.templates.Drop(s.templates.Of(spec))
	}
}

func TestProcessesStartedByForksInheritNoDescriptors(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	const text = "const { execFileSync } = require('node:child_process');\n" +
		"module.exports = (req, res) => res.end(JSON.stringify({ env: execFileSync('/bin/sh', ['-c', 'echo /proc/self/fd/*'], { encoding: 'utf8' }) }));\n"
	spec := s.function("heirs", "nodejs24.x", text)
	s.learner.With(spec.Key, func(a *learn.Profile) { a.Forkable = learn.WhenLoaded }) // otherwise it would get no template
	if err := s.addTemplate(spec); err != nil {
		t.Fatal(err)
	}
	want := askProbe(t, s.start(s.function("usual", "nodejs24.x", text), ""), "/").Env
	if got := askProbe(t, s.start(spec, lateen.StartTemplate), "/").Env; want == "" || got != want {
		t.Errorf("descriptors: %q, in a booted process %q", got, want)
	}
}

func TestATemplateWithFullTemporarySpaceIsDropped(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	if !s.host.Sandbox.PrivateTmp() {
		t.Skip("processes on this host have no space limit")
	}
	spec := s.function("fill", "nodejs24.x", "const fs = require('node:fs');\n"+
		"module.exports = (req, res) => { if (req.url === '/fill') fs.writeFileSync('/tmp/full', Buffer.alloc(200 << 20)); res.end('{}'); };\n")
	if err := s.addTemplate(spec); err != nil {
		t.Fatal(err)
	}
	full := s.templates.Of(spec)
	i := s.start(spec, lateen.StartTemplate)
	askProbe(t, i, "/fill")
	end(i)
	select {
	case <-full.Exited:
	case <-time.After(waitLimit):
		t.Error("the template is still running")
	}
	if i := s.start(spec, ""); i.Started().Kind == lateen.StartTemplate {
		t.Error("another process was forked")
	}
}

func TestAFunctionThatTriedTheNetworkIsNoTemplate(t *testing.T) {
	needForks(t)
	s := newStage(t, func(o *Options) { o.Network = egress.New(egress.Options{}) })
	if !s.host.Sandbox.Networks() {
		t.Skip("this host permits no network namespace")
	}
	const once = "const { promises: dns } = require('node:dns'); let once;\n"
	for name, text := range map[string]string{
		"request": once + "module.exports = async (req, res) => { once ??= dns.lookup('functions.localhost.example').catch(() => {}); await once; res.end('{}'); };\n",
		"loading": once + "once = dns.lookup('functions.localhost.example').catch(() => {}); module.exports = async (req, res) => { await once; res.end('{}'); };\n",
	} {
		t.Run(name, func(t *testing.T) {
			spec := s.function("out"+name, "nodejs24.x", text)
			if err := s.addTemplate(spec); err == nil || !strings.Contains(err.Error(), "tried to reach the network") {
				t.Errorf("error: %v", err)
			}
			if err := s.addTemplate(spec); (err == nil) != (name == "request") {
				t.Errorf("error without requests: %v", err)
			}
		})
	}
}
