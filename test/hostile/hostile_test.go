//go:build linux && e2e

// Package hostile_test runs functions that attack the platform and each other
// through the real engine, and checks that no attack has an effect that a neighbour
// notices.
package hostile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
)

func TestMain(m *testing.M) {
	relay.Main()
	wasi.Main()
	if err := os.Setenv("LATEEN_SECRET", "of the platform"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// The sandbox layers that stop attacks.
const (
	layerRoot      = "a root of its own"
	layerProcesses = "a process namespace"
	layerNetwork   = "a network namespace"
	layerCalls     = "a list of system calls"
	layerMemory    = "a bound on memory"
)

// attack is a way to attack.
type attack struct {
	name   string
	run    func(*platform, *testing.T)
	layers []string // layers without which the attack would succeed, as the platform's start names them
}

func attacks() []attack {
	return []attack{
		{"System calls", (*platform).calls, []string{layerCalls}},
		{"Mounts", (*platform).mounts, []string{layerCalls}},
		{"Namespaces", (*platform).namespaces, []string{layerCalls}},
		{"Identity", (*platform).identity, []string{layerCalls}},
		{"Setuid programs", (*platform).setuid, []string{layerRoot}},
		{"Other architectures' calls", (*platform).foreign, []string{layerCalls}},
		{"Terminals", (*platform).terminals, []string{layerCalls, layerRoot}},
		{"Devices", (*platform).devices, []string{layerRoot}},
		{"Raised limits", (*platform).limits, nil},
		{"Proc", (*platform).proc, []string{layerProcesses, layerRoot}},
		{"Other processes", (*platform).processes, []string{layerProcesses, layerCalls}},
		{"Kill", (*platform).kill, []string{layerProcesses}},
		{"Inherited descriptors", (*platform).inherited, nil},
		{"Closed descriptors", (*platform).descriptors, nil},
		{"Others' files", (*platform).files, []string{layerRoot}},
		{"Links", (*platform).links, nil},
		{"Full disk", (*platform).disk, []string{layerRoot}},
		{"Sockets", (*platform).sockets, []string{layerCalls}},
		{"Connections", (*platform).connections, []string{layerNetwork, layerRoot}},
		{"Connection floods", (*platform).flood, []string{layerNetwork}},
		{"Network changes", (*platform).netlink, []string{layerNetwork}},
		{"Memory", (*platform).memory, nil},
		{"Memory that is no process's", (*platform).hiddenMemory, []string{layerMemory}},
		{"Open files", (*platform).openFiles, nil},
		{"Threads", (*platform).threads, nil},
		{"Forks", (*platform).forks, []string{layerProcesses}},
		{"Busy loops", (*platform).busy, nil},
		{"Survivors", (*platform).survivors, []string{layerProcesses}},
		{"Loading", (*platform).loading, nil},
		{"Rehearsals", (*platform).rehearsals, nil},
		{"Forged messages", (*platform).control, nil},
		{"Endless answers", (*platform).endless, nil},
		{"Data cache", (*platform).dataCache, nil},
	}
}

// abroad are the attacks that a vessel other than Node.js sets out to.
func abroad(v vessel) []attack {
	attacks := []attack{
		{"System calls", (*platform).calls, []string{layerCalls}},
		{"Identity", (*platform).identity, []string{layerCalls}},
		{"Other processes", (*platform).processes, []string{layerProcesses, layerCalls}},
		{"Inherited descriptors", (*platform).inherited, nil},
		{"Others' files", (*platform).files, []string{layerRoot}},
		{"Connections", (*platform).connections, []string{layerNetwork, layerRoot}},
		{"Memory", (*platform).bombs, nil},
		{"Memory of a child", (*platform).childMemory, nil},
	}
	if v.forks != "" {
		attacks = append(attacks, attack{"Forks", (*platform).forks, []string{layerProcesses}})
	}
	return attacks
}

// origins are the ways in which processes come to be: each way, the attacks
// that Node.js is a vessel for.
func origins() []origin {
	return []origin{
		{"booted", func(o *local.Options) { o.NoZygotes = true }},
		{"forked", func(o *local.Options) { o.Pool, o.Templates = -1, -1 }}, // each is a zygote's child
	}
}

// TestFunctionsAreContained runs all attacks as the user that runs the test.
func TestFunctionsAreContained(t *testing.T) {
	program := attacker(t)
	for n, o := range origins() {
		t.Run(o.name, func(t *testing.T) {
			p := open(t, program, o)
			if why := p.engine.Zygotes(); n > 0 && why != nil {
				t.Skip(why)
			}
			for _, attack := range attacks() {
				t.Run(attack.name, func(t *testing.T) { attack.on(t, p) })
			}
			if n > 0 {
				return // the others are of one origin
			}
			for _, v := range vessels() {
				t.Run(v.name, func(t *testing.T) {
					for _, attack := range abroad(v) {
						t.Run(attack.name, func(t *testing.T) { attack.on(t, p.aboard(v)) })
					}
				})
			}
			t.Run("WebAssembly", func(t *testing.T) {
				for _, attack := range moduleAttacks() {
					t.Run(attack.name, func(t *testing.T) { attack.on(t, p) })
				}
			})
		})
	}
}

// on runs an attack, unless this host lacks a sandbox layer against it.
func (a attack) on(t *testing.T, p *platform) {
	for _, name := range a.layers {
		if layer := p.layer(t, name); layer.Missing != "" {
			t.Skipf("sandbox layer %s missing: %s", name, layer.Missing)
		}
	}
	began := time.Now()
	w := p.during(t, func(t *testing.T) { a.run(p, t) })
	t.Logf("%v; the neighbour was asked %d times, the slowest answer took %v",
		time.Since(began).Round(time.Millisecond), w.asked, w.slowest.Round(time.Millisecond))
}

// TestTheEngineReportsMissingSandboxLayers is about hosts without some
// sandbox layers.
func TestTheEngineReportsMissingSandboxLayers(t *testing.T) {
	p := open(t, attacker(t), origins()[0])
	said := p.engine.Missing()
	for _, layer := range p.engine.Layers() {
		if (layer.Missing != "") != strings.Contains(said, layer.Name) {
			t.Errorf("%s is missing (%s), and the start reports %q", layer.Name, layer.Missing, said)
		}
		if layer.Prevents == "" || layer.Missing != "" && layer.Remedy == "" {
			t.Errorf("%+v has no purpose or no remedy", layer)
		}
	}
	if os.Geteuid() == 0 && said != "" {
		t.Errorf("for root %s", said)
	}
	if os.Geteuid() != 0 && !strings.Contains(said, "a user id of its own") {
		t.Errorf("a plain user has no ids to give, and it says %q", said)
	}
}

// attacker builds the attacker in a directory where every user may execute it, with
// the module beside it, and returns its path.
func attacker(t *testing.T) string {
	t.Helper()
	if built := os.Getenv("LATEEN_TEST_ATTACKER"); built != "" {
		return built
	}
	program := filepath.Join(enginetest.Reachable(t), "attacker")
	for to, c := range map[string]struct{ from, system, arch string }{
		program: {"attacker", "linux", runtime.GOARCH}, filepath.Join(filepath.Dir(program), "module.wasm"): {"module", "wasip1", "wasm"},
	} {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, "./testdata/"+c.from)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+c.system, "GOARCH="+c.arch)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build the %s: %v\n%s", c.from, err, out)
		}
	}
	return program
}
