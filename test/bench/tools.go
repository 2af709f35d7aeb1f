package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen/internal/toolchain"
	"github.com/lateen-dev/lateen/test/bench/proc"
)

// nodeMajor is the version of Node.js that functions of the benchmark name.
const nodeMajor = 24

// tools are the programs that take part. A peer that is missing is "".
type tools struct {
	lateen   string
	nodes    map[int]string // the binaries that Lateen runs functions on, by major version
	nodeDir  string         // with npm and all, for the vercel CLI
	vercel   string         // its main module
	runtimes string         // to be linked into data directories

	nginx, caddy, wrk string
	brotli            string // nginx's module
	libraries         string // further LD_LIBRARY_PATH
}

// findTools finds the programs and downloads missing ones where possible.
func findTools(ctx context.Context, root, lateen string) (*tools, error) {
	cache := filepath.Join(root, ".cache", "bench")
	t := &tools{
		lateen:   filepath.Join(root, "bin", "lateen"),
		nodeDir:  filepath.Join(root, ".cache", "node", "bin"),
		vercel:   filepath.Join(root, "examples", "node_modules", "vercel", "dist", "vc.js"),
		runtimes: filepath.Join(cache, "runtimes"),
		nodes:    map[int]string{},
	}
	if lateen != "" {
		var err error
		if t.lateen, err = filepath.Abs(lateen); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(t.lateen); err != nil {
		return nil, fmt.Errorf("run `make build` first: %w", err)
	}
	fetch := exec.CommandContext(ctx, filepath.Join(root, "scripts", "bench.sh"))
	fetch.Stderr = os.Stderr
	if err := fetch.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: scripts/bench.sh:", err, "(its peers will be missing)")
	}
	packages := filepath.Join(cache, "root")
	t.nginx, t.caddy, t.wrk = program("nginx", packages), program("caddy", packages), program("wrk", packages)
	for _, dir := range []string{"/", packages} {
		if module := filepath.Join(dir, "usr/lib/nginx/modules/ngx_http_brotli_static_module.so"); exists(module) {
			t.brotli = module
		}
	}
	if found, err := filepath.Glob(filepath.Join(packages, "usr/lib/*-linux-gnu")); err == nil {
		t.libraries = strings.Join(found, ":")
	}
	kit, err := toolchain.New(toolchain.Options{Dir: t.runtimes, Registry: os.Getenv("NPM_CONFIG_REGISTRY")})
	if err != nil {
		return nil, err
	}
	for _, major := range []int{22, nodeMajor} {
		if t.nodes[major], err = kit.Node(ctx, major); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// program finds a program on PATH, where only root looks, or among the fetched
// packages; "" if it is nowhere.
func program(name, packages string) string {
	if found, err := exec.LookPath(name); err == nil {
		return found
	}
	for _, dir := range []string{"/usr/sbin", filepath.Join(packages, "usr/sbin"), filepath.Join(packages, "usr/bin")} {
		if file := filepath.Join(dir, name); exists(file) {
			return file
		}
	}
	return ""
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// env is the environment of programs from the fetched packages.
func (t *tools) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LD_LIBRARY_PATH=" + t.libraries, "HOME=/nonexistent"}
}

var errMissing = errors.New("it is not here and could not be fetched")

// facts describe the machine and the programs.
func (b *bench) facts(ctx context.Context) []fact {
	t := b.tools
	commit := strings.TrimSpace(b.output(ctx, "git", "-C", b.root, "log", "-1", "--format=%h, %cs"))
	if b.output(ctx, "git", "-C", b.root, "status", "--porcelain", "--untracked-files=no", "--", "*.go", "*.cjs", "*.mjs") != "" {
		commit += ", with changes"
	}
	return []fact{
		{"processor", fmt.Sprintf("%s, %d of them for everything", processor(), runtime.NumCPU())},
		{"memory", memory()},
		{"system", system(ctx, b)},
		{"Lateen", commit + ", " + runtime.Version()},
		{"Node.js", nodeVersions(ctx, b)},
		{"nginx", version(b.output(ctx, t.nginx, "-v")) + brotliNote(t)},
		{"Caddy", version(b.output(ctx, t.caddy, "version"))},
		{"wrk", version(b.output(ctx, t.wrk, "-v"))},
		{"vercel CLI", version(b.output(ctx, filepath.Join(t.nodeDir, "node"), t.vercel, "--version"))},
	}
}

// nodeVersions are those that functions run on, as they name them.
func nodeVersions(ctx context.Context, b *bench) string {
	var texts []string
	for _, major := range slices.Sorted(maps.Keys(b.tools.nodes)) {
		texts = append(texts, version(b.output(ctx, b.tools.nodes[major], "--version")))
	}
	return strings.Join(texts, " and ") + ", as the functions name them: the same for Lateen and plain node"
}

func brotliNote(t *tools) string {
	if t.brotli == "" {
		return ", without its brotli module"
	}
	return ", with Debian's brotli_static"
}

// output is the output of a command on both streams, "" if it cannot be run.
func (b *bench) output(ctx context.Context, name string, args ...string) string {
	if name == "" {
		return ""
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(b.tools.env(), "HOME="+b.dir)
	out, _ := cmd.CombinedOutput() // some programs print their version and fail
	return string(out)
}

var versionPattern = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// version is the first version that a text names.
func version(text string) string {
	if found := versionPattern.FindString(text); found != "" {
		return found
	}
	return "missing"
}

func processor() string {
	name, virtual := runtime.GOARCH, false
	lines := bufio.NewScanner(strings.NewReader(proc.Text("/proc/cpuinfo")))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch strings.TrimSpace(key) {
		case "model name":
			name = strings.TrimSpace(value)
		case "flags":
			virtual = strings.Contains(value, " hypervisor")
		}
	}
	if virtual {
		return name + " (virtual)"
	}
	return name
}

func memory() string {
	var kib int64
	if _, err := fmt.Sscanf(proc.Text("/proc/meminfo"), "MemTotal: %d kB", &kib); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", float64(kib)/(1<<20))
}

func system(ctx context.Context, b *bench) string {
	name := runtime.GOOS
	for line := range strings.Lines(proc.Text("/etc/os-release")) {
		if value, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			name = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return name + ", Linux " + strings.TrimSpace(b.output(ctx, "uname", "-r"))
}
