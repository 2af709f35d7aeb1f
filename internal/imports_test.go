package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/lateen-dev/lateen"

// layers lists the allowed imports within this module: a package may import the
// packages on its line and the root package, no others. The order is that of
// ARCHITECTURE.md. "*", for the composition root only, allows all.
var layers = map[string]string{
	"client": "",

	// Ring 1: leaves, which are pure or wrap single system calls.
	"internal/accept":        "",
	"internal/address":       "",
	"internal/atomicfile":    "",
	"internal/authority":     "internal/atomicfile",
	"internal/autoscale":     "",
	"internal/buildoutput":   "",
	"internal/bus":           "internal/atomicfile internal/pause",
	"internal/cgroup":        "",
	"internal/config":        "",
	"internal/cputime":       "",
	"internal/datacache":     "internal/share",
	"internal/egress":        "internal/address internal/netdev internal/fairqueue",
	"internal/pause":         "",
	"internal/predict":       "",
	"internal/guest":         "",
	"internal/guest/relay":   "internal/guest",
	"internal/guest/wasi":    "internal/guest",
	"internal/jsregexp":      "",
	"internal/netdev":        "internal/netdev/inner",
	"internal/netdev/inner":  "",
	"internal/fairqueue":     "",
	"internal/route":         "internal/cputime internal/jsregexp",
	"internal/sandbox":       "internal/cgroup internal/netdev internal/sandbox/child",
	"internal/sandbox/child": "internal/netdev/inner",
	"internal/secret":        "internal/atomicfile",
	"internal/server":        "internal/address internal/share",
	"internal/share":         "",
	"internal/socket":        "",
	"internal/framework":     "",
	"internal/telemetry":     "",
	"internal/toolchain":     "internal/atomicfile",
	"internal/upstream":      "internal/guest",

	// Ring 2: capabilities, each of which owns one resource.
	"internal/codecache":             "",
	"internal/artifact":              "internal/atomicfile",
	"internal/cache":                 "internal/atomicfile internal/datacache internal/fairqueue internal/share",
	"internal/engine":                "",
	"internal/engine/pool":           "internal/atomicfile internal/fairqueue",
	"internal/engine/local":          "internal/cgroup internal/codecache internal/datacache internal/egress internal/engine internal/engine/local/instance internal/engine/local/learn internal/engine/local/module internal/engine/local/process internal/engine/local/template internal/engine/local/zygote internal/engine/pool internal/guest internal/guest/relay internal/guest/wasi internal/sandbox internal/toolchain",
	"internal/engine/local/instance": "internal/codecache internal/datacache internal/egress internal/engine internal/engine/local/process internal/engine/pool internal/guest internal/guest/wasi internal/upstream",
	"internal/engine/local/learn":    "internal/codecache internal/engine/local/instance internal/engine/local/process internal/engine/local/template internal/fairqueue internal/guest",
	"internal/engine/local/module":   "internal/cgroup internal/codecache internal/engine internal/engine/local/instance internal/engine/local/process internal/engine/local/template internal/engine/pool internal/guest internal/sandbox",
	"internal/engine/local/process":  "internal/codecache internal/egress internal/engine internal/engine/pool internal/guest internal/sandbox internal/upstream",
	"internal/engine/local/template": "internal/engine internal/engine/local/instance internal/engine/local/process internal/engine/pool internal/guest internal/sandbox",
	"internal/engine/local/zygote":   "internal/engine/local/process internal/engine/pool internal/guest internal/sandbox",
	"internal/store":                 "",
	"internal/store/sqlite":          "internal/store",
	"internal/store/postgres":        "internal/store",

	// Ring 3: planes, which implement the operations.
	"internal/assemble": "internal/artifact internal/buildoutput internal/cputime internal/route internal/share",
	"internal/control":  "internal/artifact internal/assemble internal/pause internal/secret internal/share internal/store",
	"internal/edge":     "internal/accept internal/artifact internal/cache internal/edge/call internal/edge/coding internal/edge/header internal/edge/prerender internal/edge/problem internal/edge/site internal/route internal/server internal/share",
	"internal/fleet":    "internal/atomicfile internal/autoscale internal/engine internal/fairqueue internal/fleet/measure internal/pause",
	"internal/meter":    "internal/pause internal/store",
	"internal/observe":  "internal/share internal/store/sqlite",
	"internal/worker":   "internal/datacache internal/pause internal/share internal/store",

	"internal/fleet/measure": "internal/engine",

	"internal/edge/call":        "internal/address internal/cache internal/edge/header internal/edge/problem internal/edge/site internal/route internal/server",
	"internal/edge/certificate": "",
	"internal/edge/coding":      "internal/accept internal/cache internal/edge/header internal/edge/problem internal/route",
	"internal/edge/header":      "",
	"internal/edge/prerender":   "internal/accept internal/artifact internal/cache internal/edge/call internal/edge/coding internal/edge/header internal/edge/problem internal/edge/site internal/route",
	"internal/edge/problem":     "internal/accept internal/route",
	"internal/edge/site":        "internal/edge/problem internal/predict internal/route internal/share",

	// Ring 4: interfaces to users and programs.
	"internal/api": "internal/accept internal/control internal/observe internal/share internal/store",
	"internal/cli": "internal/address internal/cli/account internal/cli/command internal/cli/deploy internal/cli/inspect internal/cli/platform internal/cli/settings internal/terminal",

	// The groups of commands, which share command and never import each other.
	"internal/cli/account":  "client internal/cli/command internal/config internal/terminal",
	"internal/cli/command":  "client internal/atomicfile internal/config internal/terminal",
	"internal/cli/deploy":   "client internal/cli/command internal/framework internal/terminal",
	"internal/cli/inspect":  "client internal/cli/command internal/terminal",
	"internal/cli/platform": "internal/atomicfile internal/cli/command internal/config internal/terminal",
	"internal/cli/settings": "client internal/atomicfile internal/cli/command internal/terminal",

	"internal/terminal": "",

	// Ring 5.
	"internal/daemon": "*",
}

// heavy lists the third-party modules that only the given packages may import.
var heavy = map[string]string{
	"database/sql":                       "internal/store internal/store/sqlite internal/store/postgres internal/observe",
	"modernc.org/":                       "internal/store/sqlite",
	"github.com/tetratelabs/wazero":      "internal/guest/wasi",
	"github.com/jackc/pgx":               "internal/store/postgres",
	"github.com/pressly/goose":           "internal/store internal/store/sqlite internal/store/postgres internal/observe",
	"github.com/spf13/":                  "internal/cli internal/cli/account internal/cli/command internal/cli/deploy internal/cli/inspect internal/cli/platform internal/cli/settings",
	"github.com/prometheus/":             "internal/telemetry",
	"go.opentelemetry.io/":               "internal/telemetry",
	"github.com/andybalholm/brotli":      "internal/assemble internal/edge/coding",
	"gvisor.dev/":                        "internal/egress",
	"github.com/stretchr/testify":        "",
	"github.com/nats-io/":                "internal/bus",
	"k8s.io/":                            "internal/operator",
	"sigs.k8s.io/controller-runtime/pkg": "internal/operator",
}

func TestImportsKeepTheRings(t *testing.T) {
	seen := map[string]bool{}
	walkGo(t, func(file, pkg string) {
		if strings.HasSuffix(file, "_test.go") || isMainOrKit(pkg) {
			return // reviews, not this test, check programs and test kits
		}
		allowed, ok := layers[pkg]
		if pkg != "" && !ok && !seen[pkg] {
			t.Errorf("%s is new: give it a line in layers and one in ARCHITECTURE.md", pkg)
		}
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if fault := forbidden(pkg, allowed, imported); fault != "" {
				t.Errorf("%s imports %s; %s", file, imported, fault)
			}
		}
	})
	for pkg := range layers {
		if !seen[pkg] {
			t.Errorf("layers names %s, which does not exist", pkg)
		}
	}
}

// forbidden returns the reason why pkg may not import a package, or "".
func forbidden(pkg, allowed, imported string) string {
	if dep, ours := strings.CutPrefix(imported, module+"/"); ours {
		if pkg == "" {
			return "the root package holds the nouns and imports the standard library alone"
		}
		if allowed != "*" && !slices.Contains(strings.Fields(allowed), dep) {
			return "it may import: " + orNothing(allowed)
		}
		return ""
	}
	for tree, corners := range heavy {
		if strings.HasPrefix(imported, tree) && !slices.Contains(strings.Fields(corners), pkg) {
			return "only these may: " + orNothing(corners)
		}
	}
	return ""
}

func orNothing(list string) string {
	if list == "" {
		return "nothing"
	}
	return list
}

// isMainOrKit reports whether pkg is a program or a package that only tests import.
func isMainOrKit(pkg string) bool {
	top, _, _ := strings.Cut(pkg, "/")
	return slices.Contains([]string{"cmd", "tools", "test", "examples"}, top) || strings.HasSuffix(pkg, "test")
}

// walkGo calls visit for every Go file of the module, with the path of its package.
func walkGo(t *testing.T, visit func(file, pkg string)) {
	t.Helper()
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"testdata", "node_modules", ".git", ".cache", "examples", ".lateen"}, d.Name()):
			return fs.SkipDir
		case strings.HasSuffix(file, ".go"):
			pkg := path.Dir(file)
			if pkg == "." {
				pkg = ""
			}
			visit(filepath.Join("..", file), pkg)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
