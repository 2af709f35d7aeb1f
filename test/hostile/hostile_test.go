//go:build linux && e2e

// Package hostile_test runs functions that attack the platform and each other
// through the real engine, and shows what each of them achieves: nothing that
// a neighbour notices.
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

// The walls that attacks are stopped by.
const (
	wallRoot      = "a root of its own"
	wallProcesses = "a process namespace"
	wallNetwork   = "a network namespace"
	wallCalls     = "a list of system calls"
	wallMemory    = "a bound on memory"
)

// attack is a way to attack.
type attack struct {
	name  string
	run   func(*platform, *testing.T)
	walls []string // without which it would succeed, as the platform says at its start
}

func attacks() []attack {
	return []attack{
		{"System calls", (*platform).calls, []string{wallCalls}},
		{"Mounts", (*platform).mounts, []string{wallCalls}},
		{"Namespaces", (*platform).namespaces, []string{wallCalls}},
		{"Identity", (*platform).identity, []string{wallCalls}},
		{"Setuid programs", (*platform).setuid, []string{wallRoot}},
		{"Other architectures' calls", (*platform).foreign, []string{wallCalls}},
		{"Terminals", (*platform).terminals, []string{wallCalls, wallRoot}},
		{"Devices", (*platform).devices, []string{wallRoot}},
		{"Raised limits", (*platform).limits, nil},
		{"Proc", (*platform).proc, []string{wallProcesses, wallRoot}},
		{"Other processes", (*platform).processes, []string{wallProcesses, wallCalls}},
		{"Kill", (*platform).kill, []string{wallProcesses}},
		{"Inherited descriptors", (*platform).inherited, nil},
		{"Closed descriptors", (*platform).descriptors, nil},
		{"Others' files", (*platform).files, []string{wallRoot}},
		{"Links", (*platform).links, nil},
		{"Full disk", (*platform).disk, []string{wallRoot}},
		{"Sockets", (*platform).sockets, []string{wallCalls}},
		{"Connections", (*platform).connections, []string{wallNetwork, wallRoot}},
		{"Connection floods", (*platform).flood, []string{wallNetwork}},
		{"Network changes", (*platform).netlink, []string{wallNetwork}},
		{"Memory", (*platform).memory, nil},
		{"Memory that is no process's", (*platform).hiddenMemory, []string{wallMemory}},
		{"Open files", (*platform).openFiles, nil},
		{"Threads", (*platform).threads, nil},
		{"Forks", (*platform).forks, []string{wallProcesses}},
		{"Busy loops", (*platform).busy, nil},
		{"Survivors", (*platform).survivors, []string{wallProcesses}},
		{"Loading", (*platform).loading, nil},
		{"Rehearsals", (*platform).rehearsals, nil},
		{"Forged messages", (*platform).control, nil},
		{"Endless answers", (*platform).endless, nil},
	}
}

// abroad are the attacks that a vessel other than Node.js sets out to.
func abroad(v vessel) []attack {
	attacks := []attack{
		{"System calls", (*platform).calls, []string{wallCalls}},
		{"Identity", (*platform).identity, []string{wallCalls}},
		{"Other processes", (*platform).processes, []string{wallProcesses, wallCalls}},
		{"Inherited descriptors", (*platform).inherited, nil},
		{"Others' files", (*platform).files, []string{wallRoot}},
		{"Connections", (*platform).connections, []string{wallNetwork, wallRoot}},
		{"Memory", (*platform).bombs, nil},
		{"Memory of a child", (*platform).childMemory, nil},
	}
	if v.forks != "" {
		attacks = append(attacks, attack{"Forks", (*platform).forks, []string{wallProcesses}})
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

// TestFunctionsAreContained runs all attacks as whoever runs the test.
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

// on runs an attack, unless this host lacks a wall against it.
func (a attack) on(t *testing.T, p *platform) {
	for _, name := range a.walls {
		if wall := p.wall(t, name); wall.Missing != "" {
			t.Skipf("there is not %s here: %s", name, wall.Missing)
		}
	}
	began := time.Now()
	w := p.during(t, func(t *testing.T) { a.run(p, t) })
	t.Logf("%v; the neighbour was asked %d times, the slowest answer took %v",
		time.Since(began).Round(time.Millisecond), w.asked, w.slowest.Round(time.Millisecond))
}

// TestThePlatformSaysWhatItCannotKeepFunctionsFrom is about hosts where some
// walls do not stand.
func TestThePlatformSaysWhatItCannotKeepFunctionsFrom(t *testing.T) {
	p := open(t, attacker(t), origins()[0])
	said := p.engine.Missing()
	for _, wall := range p.engine.Walls() {
		if (wall.Missing != "") != strings.Contains(said, wall.Name) {
			t.Errorf("%s is missing (%s), and it says %q", wall.Name, wall.Missing, said)
		}
		if wall.Stops == "" || wall.Missing != "" && wall.Remedy == "" {
			t.Errorf("%+v says not what it is for, or what to do", wall)
		}
	}
	if os.Geteuid() == 0 && said != "" {
		t.Errorf("for root %s", said)
	}
	if os.Geteuid() != 0 && !strings.Contains(said, "a user id of its own") {
		t.Errorf("a plain user has no ids to give, and it says %q", said)
	}
}

// attacker returns the attacker, built, where anybody may execute it. Beside it
// is the module.
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
