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
	"github.com/lateen-dev/lateen/internal/guest"
)

// probe tries what a process can do, and tells who it is.
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

// told is what the probe answers.
type told struct {
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
	s.archiveFrom = 0 // however small
	return s
}

// function describes a function of one file, of a deployment of its own.
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

// mold makes a template of a function, and has starts use it.
func (s *stage) mold(spec lateen.FunctionSpec) error {
	s.t.Helper()
	r, _, err := s.runtimeFor(&spec.Function)
	if err != nil {
		s.t.Fatal(err)
	}
	s.known.with(spec.Key, func(a *acquaintance) { a.cost = time.Second })
	return s.shape(s.t.Context(), r, spec)
}

// start starts an instance that ends with the test.
func (s *stage) start(spec lateen.FunctionSpec, want lateen.StartKind) *instance {
	s.t.Helper()
	started, err := s.Start(s.t.Context(), spec)
	if err != nil {
		s.t.Fatal(err)
	}
	i := started.(*instance)
	s.t.Cleanup(func() { end(i) })
	if kind := i.Started().Kind; want != "" && kind != want {
		s.t.Fatalf("it was started by %s, want %s", kind, want)
	}
	return i
}

func tryConsult(t testing.TB, i engine.Instance, path string) (told, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := i.RoundTrip(req)
	if err != nil {
		return told{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return told{}, err
	}
	var x told
	if err := json.Unmarshal(text, &x); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return x, nil
}

func consult(t testing.TB, i engine.Instance, path string) told {
	t.Helper()
	x, err := tryConsult(t, i, path)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func needForks(t testing.TB) {
	t.Helper()
	if !guest.Forks() {
		t.Skip("this machine has no templates")
	}
}

func TestChildrenOfTemplatesDoWhatProcessesDo(t *testing.T) {
	needForks(t)
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("probe", runtime, probe)
			usual := consult(t, s.start(s.function("usual", runtime, probe), ""), "/all")
			if len(usual.Failed) > 0 {
				t.Fatalf("an ordinary process fails at %q", usual.Failed)
			}
			if err := s.mold(spec); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				i := s.start(spec, lateen.StartTemplate)
				got := consult(t, i, "/all")
				if len(got.Failed) > 0 {
					t.Errorf("a child fails at %q", got.Failed)
				}
				if got.Loop > 4*usual.Loop+100 { // ten times as long, if it were not optimised
					t.Errorf("a hot loop takes %.1f ms in a child, %.1f otherwise", got.Loop, usual.Loop)
				}
				if got.Env != "probe" {
					t.Errorf("it is %q", got.Env)
				}
			}
			i := s.start(spec, lateen.StartTemplate)
			if _, err := tryConsult(t, i, "/exit"); !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), "process.exit(3)") {
				t.Errorf("after process.exit the error is %v", err)
			}
			<-i.exited
		})
	}
}

func TestChildrenNeverRepeatEachOther(t *testing.T) {
	needForks(t)
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("random", runtime, probe)
			if err := s.mold(spec); err != nil {
				t.Fatal(err)
			}
			s.unrepeated(spec, 100)
		})
	}
}

// unrepeated starts children and has each draw what is random.
func (s *stage) unrepeated(spec lateen.FunctionSpec, children int) {
	s.t.Helper()
	seen := map[string]int{}
	for n := range children {
		started, err := s.Start(s.t.Context(), spec)
		if err != nil {
			s.t.Fatal(err)
		}
		if kind := started.Started().Kind; kind != lateen.StartTemplate {
			s.t.Fatalf("child %d was started by %s", n, kind)
		}
		for _, value := range consult(s.t, started, "/").Random {
			if before, again := seen[value]; again {
				s.t.Errorf("children %d and %d both drew %s", before, n, value)
			}
			seen[value] = n
		}
		end(started)
	}
}

func TestManyTemplatesHaveManyChildren(t *testing.T) {
	needForks(t)
	const functions, children = 20, 25
	s := newStage(t, func(o *Options) { o.Templates = 150 }) // so that some are given up meanwhile
	for n := range functions {
		spec := s.function(fmt.Sprintf("many%d", n), "nodejs24.x", probe)
		if err := s.mold(spec); err != nil {
			t.Fatal(err)
		}
		for range children {
			started, err := s.Start(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if kind := started.Started().Kind; kind != lateen.StartTemplate {
				t.Fatalf("it was started by %s", kind)
			}
			if got := consult(t, started, "/"); got.Env != fmt.Sprintf("many%d", n) {
				t.Fatalf("function %d was answered by %s", n, got.Env)
			}
			end(started)
		}
	}
	s.templates.mu.Lock()
	defer s.templates.mu.Unlock()
	if n := len(s.templates.all); n == 0 || n == functions {
		t.Errorf("%d templates are kept", n)
	}
}

func TestTemplateServesItsOwnFunctionAlone(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	mine, other := s.function("mine", "nodejs24.x", probe), s.function("other", "nodejs24.x", probe) // of the same files
	if err := s.mold(mine); err != nil {
		t.Fatal(err)
	}
	if got := consult(t, s.start(other, ""), "/"); got.Env != "other" {
		t.Errorf("another deployment's function is %s", got.Env)
	}
	if i := s.start(other, ""); i.Started().Kind == lateen.StartTemplate {
		t.Error("it was forked from another's template")
	}
	if got := consult(t, s.start(mine, lateen.StartTemplate), "/"); got.Env != "mine" {
		t.Errorf("it is %s", got.Env)
	}
	changed := mine
	changed.Env = map[string]string{"WHO": "changed"}
	if got := consult(t, s.start(changed, ""), "/"); got.Env != "changed" {
		t.Errorf("with another environment it is %s", got.Env)
	}
}

func TestOthersTakeOverWhenATemplateDies(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("mortal", "nodejs24.x", probe)
	if err := s.mold(spec); err != nil {
		t.Fatal(err)
	}
	dead := s.templateOf(spec)
	t.Run("frozen in the middle", func(t *testing.T) {
		defer dead.Kill()
		if err := dead.process.Freeze(); errors.Is(err, errors.ErrUnsupported) {
			t.Skip("this host cannot freeze a process")
		} else if err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(100*time.Millisecond, dead.Kill)
		defer stop.Stop()
		i := s.start(spec, "")
		if kind := i.Started().Kind; kind == lateen.StartTemplate {
			t.Error("it was forked from a dead process")
		}
		consult(t, i, "/")
	})
	<-dead.exited
	if s.templateOf(spec) == dead {
		t.Error("the template is kept")
	}
	consult(t, s.start(spec, ""), "/")
}

func TestTemplateWhoseChildrenDieIsGivenUp(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("deadly", "nodejs24.x", probe)
	if err := s.mold(spec); err != nil {
		t.Fatal(err)
	}
	i := s.start(spec, lateen.StartTemplate)
	if _, err := tryConsult(t, i, "/die"); !errors.Is(err, lateen.ErrFunctionFailed) {
		t.Errorf("the error is %v", err)
	}
	<-i.idle
	if again := s.start(spec, ""); again.Started().Kind == lateen.StartTemplate {
		t.Error("it has another child")
	}
	s.known.with(spec.Key, func(a *acquaintance) {
		if a.forkable != never {
			t.Errorf("it may have another template (%d, %s)", a.forkable, a.why)
		}
	})
}

func TestChildrenOutliveTheirTemplate(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("orphan", "nodejs24.x", probe)
	if err := s.mold(spec); err != nil {
		t.Fatal(err)
	}
	i := s.start(spec, lateen.StartTemplate)
	given := s.templateOf(spec)
	s.dropTemplate(given)
	consult(t, i, "/all")
	end(i)
	select {
	case <-given.exited:
	case <-time.After(patience):
		t.Error("the template stays when its last child has ended")
	}
}

func TestWhatNoForkCarriesOverForbidsTemplates(t *testing.T) {
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
				if err := s.mold(spec); err == nil || !strings.Contains(err.Error(), c.why) {
					t.Errorf("the error is %v, want %q", err, c.why)
				}
			}
			s.known.with(spec.Key, func(a *acquaintance) {
				if a.forkable != never || a.template != nil {
					t.Errorf("it is forkable: %d", a.forkable)
				}
			})
			consult(t, s.start(spec, ""), "/")
		})
	}
	t.Run("files that answers leave", func(t *testing.T) {
		spec := s.function("files", "nodejs24.x", "const fs = require('node:fs'); fs.writeFileSync('/tmp/loaded', ''); let n = 0;\n"+
			"module.exports = (req, res) => { fs.writeFileSync('/tmp/' + process.pid + '-' + n++, ''); res.end(JSON.stringify({ random: fs.readdirSync('/tmp') })); };\n")
		if err := s.mold(spec); err == nil || !strings.Contains(err.Error(), "temporary files") {
			t.Errorf("the error is %v", err)
		}
		if err := s.mold(spec); err != nil {
			t.Errorf("without requests: %v", err)
		}
		if got := consult(t, s.start(spec, lateen.StartTemplate), "/"); len(got.Random) != 2 {
			t.Errorf("a child finds %q", got.Random)
		}
	})
	t.Run("by a request alone", func(t *testing.T) {
		spec := s.function("late", "nodejs24.x", "module.exports = (req, res) => {\n"+
			"  require('node:net').connect('/tmp/nobody').on('error', () => res.end('{}'));\n};\n")
		if err := s.mold(spec); err == nil || !strings.Contains(err.Error(), "opened a connection") {
			t.Errorf("the error is %v", err)
		}
		if err := s.mold(spec); err != nil {
			t.Errorf("without requests: %v", err)
		}
		consult(t, s.start(spec, lateen.StartTemplate), "/")
	})
}

// BenchmarkChildren holds as many children as it is told to the gates that the
// tests hold a few to: -benchtime 1000x.
func BenchmarkChildren(b *testing.B) {
	needForks(b)
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		b.Run(runtime, func(b *testing.B) {
			s := newStage(b, nil)
			spec := s.function("bench", runtime, probe)
			if err := s.mold(spec); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			s.unrepeated(spec, b.N)
		})
	}
}

// BenchmarkTemplates makes templates, each with children.
func BenchmarkTemplates(b *testing.B) {
	needForks(b)
	s := newStage(b, nil)
	for n := range b.N {
		spec := s.function(fmt.Sprintf("t%d", n), "nodejs24.x", probe)
		if err := s.mold(spec); err != nil {
			b.Fatal(err)
		}
		s.unrepeated(spec, 10)
		s.dropTemplate(s.templateOf(spec))
	}
}

func TestWhatChildrenStartHasNoneOfTheirDescriptors(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	const text = "const { execFileSync } = require('node:child_process');\n" +
		"module.exports = (req, res) => res.end(JSON.stringify({ env: execFileSync('/bin/sh', ['-c', 'echo /proc/self/fd/*'], { encoding: 'utf8' }) }));\n"
	spec := s.function("heirs", "nodejs24.x", text)
	s.known.with(spec.Key, func(a *acquaintance) { a.forkable = whenLoaded }) // or it would have no template
	if err := s.mold(spec); err != nil {
		t.Fatal(err)
	}
	want := consult(t, s.start(s.function("usual", "nodejs24.x", text), ""), "/").Env
	if got := consult(t, s.start(spec, lateen.StartTemplate), "/").Env; want == "" || got != want {
		t.Errorf("it has %q, of a booted process %q", got, want)
	}
}

func TestTemplateWhoseChildrenFillItsSpaceIsGivenUp(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	if !s.sandbox.PrivateTmp() {
		t.Skip("processes have no space of their own here")
	}
	spec := s.function("fill", "nodejs24.x", "const fs = require('node:fs');\n"+
		"module.exports = (req, res) => { if (req.url === '/fill') fs.writeFileSync('/tmp/full', Buffer.alloc(200 << 20)); res.end('{}'); };\n")
	if err := s.mold(spec); err != nil {
		t.Fatal(err)
	}
	crowd := s.templateOf(spec)
	i := s.start(spec, lateen.StartTemplate)
	consult(t, i, "/fill")
	end(i)
	select {
	case <-crowd.exited:
	case <-time.After(patience):
		t.Error("it stays")
	}
	if i := s.start(spec, ""); i.Started().Kind == lateen.StartTemplate {
		t.Error("it has another child")
	}
}

func TestWhatTriedToGoOutInVainIsNoTemplate(t *testing.T) {
	needForks(t)
	s := newStage(t, func(o *Options) { o.Network = egress.New(egress.Options{}) })
	if !s.sandbox.Networks() {
		t.Skip("this host permits no network namespace")
	}
	const once = "const { promises: dns } = require('node:dns'); let once;\n"
	for name, text := range map[string]string{
		"asked":  once + "module.exports = async (req, res) => { once ??= dns.lookup('functions.localhost.example').catch(() => {}); await once; res.end('{}'); };\n",
		"loaded": once + "once = dns.lookup('functions.localhost.example').catch(() => {}); module.exports = async (req, res) => { await once; res.end('{}'); };\n",
	} {
		t.Run(name, func(t *testing.T) {
			spec := s.function("out"+name, "nodejs24.x", text)
			if err := s.mold(spec); err == nil || !strings.Contains(err.Error(), "tried to reach the network") {
				t.Errorf("the error is %v", err)
			}
			if err := s.mold(spec); (err == nil) != (name == "asked") {
				t.Errorf("without requests the error is %v", err)
			}
		})
	}
}
