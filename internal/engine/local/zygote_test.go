package local

import (
	"bufio"
	"errors"
	"fmt"
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
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
)

// needZygotes skips a test if the host does not support zygotes.
func needZygotes(t testing.TB, e *Engine) {
	t.Helper()
	if why := e.Zygotes(); why != nil {
		t.Skip(why)
	}
}

// makeZygote makes a zygote for the runtime of a function.
func (s *stage) makeZygote(spec lateen.FunctionSpec) *process.Runner {
	s.t.Helper()
	needZygotes(s.t, s.Engine)
	r, _, err := s.runtimeFor(&spec.Function)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Blanks.Need() // otherwise the zygote would be retired
	if err := s.zygotes.Renew(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// forkFunction starts a function in a process that the zygote of its runtime has
// forked.
func (s *stage) forkFunction(r *process.Runner, spec lateen.FunctionSpec) *instance.Instance {
	s.t.Helper()
	for range 3 { // the machine may be too busy
		if w := s.zygotes.Fork(s.t.Context(), r); w != nil {
			return s.loadInto(w, spec)
		}
		s.makeZygote(spec)
	}
	s.t.Fatal("fork failed")
	return nil
}

// loadInto loads a function into a process.
func (s *stage) loadInto(w *process.Process, spec lateen.FunctionSpec) *instance.Instance {
	s.t.Helper()
	i := s.instances.Add(s.t.Context(), w, instance.Options{Spec: spec})
	if err := i.Load(s.t.Context(), filepath.Join(s.trees, string(spec.Function.Tree)), instance.Activation{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { end(i) })
	return i
}

func TestForksOfZygotesBehaveLikeBootedProcesses(t *testing.T) {
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("probe", runtime, probe)
			r := s.makeZygote(spec)
			usual := askProbe(t, s.start(s.function("usual", runtime, probe), ""), "/all")
			for range 3 {
				i := s.forkFunction(r, spec)
				got := askProbe(t, i, "/all")
				if len(got.Failed) > 0 {
					t.Errorf("a forked process failed the checks %q", got.Failed)
				}
				if got.Loop > 4*usual.Loop+100 { // it would be ten times as long without optimization
					t.Errorf("a hot loop takes %.1f ms in a forked process, %.1f ms in a booted one", got.Loop, usual.Loop)
				}
			}
			i := s.forkFunction(r, spec)
			if _, err := tryProbe(t, i, "/exit"); !errors.Is(err, lateen.ErrFunctionFailed) {
				t.Errorf("error after process.exit: %v", err)
			}
			if <-i.Exited; i.State.Code != 3 {
				t.Errorf("exit state: %s", i.State)
			}
			i = s.forkFunction(r, spec)
			if _, err := tryProbe(t, i, "/die"); !errors.Is(err, lateen.ErrFunctionFailed) {
				t.Errorf("error after its end: %v", err)
			}
			if <-i.Exited; i.State.Signal == 0 {
				t.Errorf("exit state: %s", i.State)
			}
		})
	}
}

// sandboxView returns a process's view of its sandbox.
const sandboxView = `const fs = require('node:fs'), os = require('node:os');
const read = (path) => { try { return fs.readFileSync(path, 'utf8'); } catch (error) { return error.code; } };
const tried = (f) => { try { f(); return 'it can'; } catch (error) { return error.code || error.message; } };
const status = read('/proc/self/status').split('\n').filter((l) => /^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Umask|Sig(Blk|Ign)|CoreDumping|THP|TracerPid)/.test(l));
const own = (path) => { const s = fs.statSync(path); return s.uid + ':' + s.gid + ' ' + s.mode.toString(8); };
const links = fs.readdirSync('/proc/self/fd').map((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd).replace(/\d+/g, 'N'); } catch { return 'itself'; } });
module.exports = (req, res) => res.end(JSON.stringify({ failed: [], random: [
  ...status, ...read('/proc/self/limits').split('\n'),
  'mounts ' + read('/proc/self/mountinfo').split('\n').map((l) => l.split(' ').slice(4).join(' ').replace(/id=\d{6,}/g, 'id=N')).join('\n'),
  'uid_map ' + read('/proc/self/uid_map').replace(/\s\d{6,}\s/, ' N '), 'setgroups ' + read('/proc/self/setgroups'),
  'cgroup ' + read('/proc/self/cgroup').replace(/\d+/g, 'N'), 'processes ' + fs.readdirSync('/proc').filter((n) => n > '0' && n < ':').length,
  'user ' + JSON.stringify([process.getuid(), process.geteuid(), process.getgroups(), os.hostname(), process.cwd(), process.execPath, process.argv, process.execArgv, process.ppid]),
  'session ' + (read('/proc/self/stat').split(') ')[1].split(' ')[3] === String(process.pid)), 'nice ' + os.getPriority(),
  'own ' + ['/proc/self/status', '/proc/self/fd', '/proc/self/mem', '/tmp', '/dev/shm', '/', '/proc/self/exe'].map(own).join(),
  'descriptors ' + [...new Set(links.filter((l) => !/anon_inode|pipe:|socket:|dev.null|itself/.test(l)))].join(),
  'flags ' + [0, 1, 2, 3, 4].map((fd) => fd + read('/proc/self/fdinfo/' + fd).match(/flags:\s*\d+/)),
  'exe ' + fs.readlinkSync('/proc/self/exe'),
  'environment ' + Object.keys(process.env).sort(),
  'network ' + Object.entries(os.networkInterfaces()).map(([name, a]) => name + a.map((x) => x.address)),
  'tries ' + [() => fs.writeFileSync('/x', ''), () => fs.chmodSync('/proc/self/exe', 0o700), () => fs.chmodSync(process.execPath, 0o700), () => process.setuid(0), () => fs.readFileSync('/proc/1/environ'),
    () => fs.readdirSync('/proc/1/fd'), () => process.kill(1, 'SIGUSR1'), () => os.setPriority(-5), () => fs.openSync('/proc/self/exe', 'r+')].map(tried),
]}));
`

func TestForksOfZygotesHaveTheSameSandbox(t *testing.T) {
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, func(o *Options) { o.Pool = -1 })
			spec := s.function("looks", runtime, sandboxView)
			r := s.makeZygote(spec)
			booted, err := s.host.Boot(t.Context(), process.BootOptions{Runner: r})
			if err != nil {
				t.Fatal(err)
			}
			want := askProbe(t, s.loadInto(booted, spec), "/").Random
			got := askProbe(t, s.forkFunction(r, spec), "/").Random
			if len(got) < 40 || len(got) != len(want) {
				t.Fatalf("%d properties, want %d", len(got), len(want))
			}
			for n := range want {
				if got[n] != want[n] {
					t.Errorf("forked process:\n%s\nbooted process:\n%s", got[n], want[n])
				}
			}
		})
	}
}

func TestForksOfZygotesShareNoNamespace(t *testing.T) {
	s := newStage(t, nil)
	spec := s.function("probe", "nodejs24.x", probe)
	r := s.makeZygote(spec)
	seen := map[string]bool{}
	for range 3 {
		i := s.forkFunction(r, spec)
		for _, name := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
			link, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(i.Sandboxed.ID()), "ns", name))
			if err != nil {
				t.Fatal(err)
			}
			if seen[link] {
				t.Errorf("two processes share %s", link)
			}
			seen[link] = true
		}
	}
}

func TestForksOfZygotesNeverRepeatEachOther(t *testing.T) {
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("random", runtime, probe)
			s.unrepeatedForks(s.makeZygote(spec), spec, 100)
		})
	}
}

// contexts returns random values of separate V8 contexts and of a worker.
const contexts = `const vm = require('node:vm'), { Worker } = require('node:worker_threads');
const context = vm.createContext({});
module.exports = (req, res) => new Worker('require("node:worker_threads").parentPort.postMessage(Math.random())', { eval: true }).on('message', (n) => res.end(JSON.stringify({ failed: [], random: [
  n, vm.runInContext('Math.random()', context), vm.runInContext('Math.random()', vm.createContext()), vm.runInNewContext('Math.random()'),
  vm.runInNewContext('Math.random()'), new vm.Script('Math.random()').runInNewContext(), new vm.Script('Math.random()').runInNewContext({}),
].map(String) })));
`

func TestContextsInForksOfZygotesNeverRepeatEachOther(t *testing.T) {
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("contexts", runtime, contexts)
			s.unrepeatedForks(s.makeZygote(spec), spec, 5)
		})
	}
}

// unrepeatedForks makes forked processes of a zygote draw random values.
func (s *stage) unrepeatedForks(r *process.Runner, spec lateen.FunctionSpec, forks int) {
	s.t.Helper()
	seen := map[string]int{}
	for n := range forks {
		i := s.forkFunction(r, spec)
		for _, value := range askProbe(s.t, i, "/").Random {
			if before, again := seen[value]; again {
				s.t.Errorf("processes %d and %d both drew %s", before, n, value)
			}
			seen[value] = n
		}
		end(i)
	}
}

// awaitSandboxes waits until a runtime has this many empty sandboxes.
func (s *stage) awaitSandboxes(r *process.Runner, sandboxes int) {
	s.t.Helper()
	for deadline := time.Now().Add(waitLimit); s.zygotes.Sandboxes(r) < sandboxes; pool.Pause(s.t.Context(), 10*time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d empty sandboxes", s.zygotes.Sandboxes(r))
		}
	}
}

// burst starts functions at once, sends each one request, and counts the kinds of
// the starts.
func (s *stage) burst(spec lateen.FunctionSpec, size int) map[lateen.StartKind]int {
	s.t.Helper()
	kinds := make([]lateen.StartKind, size)
	var all sync.WaitGroup
	for n := range size {
		all.Go(func() {
			started, err := s.Start(s.t.Context(), spec)
			if err != nil {
				s.t.Error(err)
				return
			}
			s.t.Cleanup(func() { end(started) })
			kinds[n] = started.Started().Kind
			if _, err := tryProbe(s.t, started, "/"); err != nil {
				s.t.Error(err)
			}
		})
	}
	all.Wait()
	count := map[lateen.StartKind]int{}
	for _, kind := range kinds {
		count[kind]++
	}
	return count
}

const small = "module.exports = (req, res) => res.end('{}');\n"

func TestBurstIsForked(t *testing.T) {
	const size = 100
	s := newStage(t, func(o *Options) { o.Templates = -1 })
	spec := s.function("burst", "nodejs24.x", small)
	s.makeZygote(spec)
	if kinds := s.burst(spec, size); kinds[lateen.StartBlank] < size*3/4 { // the machine may be too busy for some
		t.Errorf("kinds of starts: %v", kinds)
	}
}

func TestABurstSurvivesTheEndOfItsZygote(t *testing.T) {
	const size = 20
	s := newStage(t, func(o *Options) { o.Templates = -1 })
	spec := s.function("burst", "nodejs24.x", small)
	r := s.makeZygote(spec)
	stop := time.AfterFunc(30*time.Millisecond, s.zygotes.Of(r).Kill)
	defer stop.Stop()
	kinds := s.burst(spec, size)
	if kinds[lateen.StartBlank]+kinds[lateen.StartCold] != size {
		t.Errorf("kinds of starts: %v", kinds)
	}
}

func TestForkedFunctionsOutliveTheirZygote(t *testing.T) {
	s := newStage(t, nil)
	spec := s.function("outlives", "nodejs24.x", small)
	r := s.makeZygote(spec)
	before := s.zygotes.Of(r)
	i := s.forkFunction(r, spec)
	s.makeZygote(spec)
	<-before.Exited
	if got := askProbe(t, i, "/"); len(got.Failed) > 0 {
		t.Errorf("the forked process failed the checks %q", got.Failed)
	}
	before = s.zygotes.Of(r)
	before.Kill() // the engine does not know of this
	<-before.Exited
	askProbe(t, s.start(spec, ""), "/")
}

// TestZygotesAndTheirForksEndWithThePlatform runs the test binary again as a platform
// and kills it.
func TestZygotesAndTheirForksEndWithThePlatform(t *testing.T) {
	const role = "LATEEN_TEST_PLATFORM"
	if os.Getenv(role) != "" {
		s := newStage(t, nil)
		spec := s.function("killed", "nodejs24.x", small)
		r := s.makeZygote(spec)
		pids := []int{s.zygotes.Of(r).Sandboxed.ID()}
		for range 2 {
			keeper := s.forkFunction(r, spec).Sandboxed.ID()
			forks, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", keeper))
			if err != nil {
				t.Fatal(err)
			}
			child, err := strconv.Atoi(strings.TrimSpace(string(forks)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, keeper, child)
		}
		fmt.Println("pids", pids)
		<-t.Context().Done()
	}
	needZygotes(t, newStage(t, nil).Engine)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v") //nolint:gosec // itself
	cmd.Env = append(os.Environ(), role+"=1", "TMPDIR="+enginetest.Reachable(t))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for lines := bufio.NewScanner(out); pids == nil && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "pids ["); ok {
			pids = strings.Fields(strings.TrimSuffix(text, "]"))
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the process was killed
	if len(pids) != 5 {
		t.Fatalf("%d processes", len(pids))
	}
	deadline := time.Now().Add(waitLimit)
	for _, pid := range pids {
		for alive(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %s is still running", pid)
			}
			pool.Pause(t.Context(), 10*time.Millisecond)
		}
	}
}

// alive reports whether a process exists and is no zombie.
func alive(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// BenchmarkBursts starts functions at once, and reports the total CPU time per
// function.
func BenchmarkBursts(b *testing.B) {
	const size = 100
	s := newStage(b, func(o *Options) { o.Templates = -1 })
	spec := s.function("burst", "nodejs24.x", small)
	r := s.makeZygote(spec)
	for b.Loop() {
		b.StopTimer()
		s.awaitSandboxes(r, 100)
		pool.Pause(b.Context(), time.Second)
		before, zygote := usedCPU(b), s.zygotes.Of(r).Sandboxed.CPU()
		b.StartTimer()
		began := time.Now()
		kinds := s.burst(spec, size)
		b.Log(kinds, time.Since(began))
		b.StopTimer()
		for _, i := range s.instances.List() {
			i.Kill()
			<-i.Exited
		}
		b.ReportMetric(float64((usedCPU(b)-before).Microseconds())/1e3/size, "cpu-ms/start")
		if z := s.zygotes.Of(r); z != nil {
			b.ReportMetric(float64((z.Sandboxed.CPU()-zygote).Microseconds())/1e3/size, "zygote-ms/start")
		}
		b.StartTimer()
	}
}

// BenchmarkZygoteForks forks processes that get no function, and reports the CPU
// time of the platform and of the processes.
func BenchmarkZygoteForks(b *testing.B) {
	s := newStage(b, nil)
	r := s.makeZygote(s.function("forks", "nodejs24.x", probe))
	before := usedCPU(b)
	for b.Loop() {
		w := s.zygotes.Fork(b.Context(), r)
		if w == nil {
			b.Fatal("fork failed")
		}
		w.Kill()
		<-w.Exited
	}
	b.ReportMetric(float64((usedCPU(b)-before).Microseconds())/1e3/float64(b.N), "cpu-ms/op")
}

// usedCPU returns the CPU time of this process and of its children that have ended.
func usedCPU(t testing.TB) (sum time.Duration) {
	t.Helper()
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}
