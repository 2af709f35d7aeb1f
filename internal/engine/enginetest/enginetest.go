// Package enginetest is the conformance suite of engines. It runs real functions of
// every style, with correct and with forbidden behavior.
//
// Runtimes come from the npm registry (NPM_CONFIG_REGISTRY) and stay in the
// directory LATEEN_TEST_RUNTIMES, by default lateen/runtimes in the user's cache
// directory, for all tests of this machine.
package enginetest

import (
	"context"
	"embed"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/toolchain"
)

// waitLimit is the timeout of every wait of the suite.
const waitLimit = 5 * time.Minute

// Fixture holds the dependencies of an engine under test.
type Fixture struct {
	Trees    func(context.Context, lateen.Digest) (string, error)
	TreesDir string
	Logs     *Logs
}

// Open returns a running engine that ends with the test.
type Open func(testing.TB, Fixture) engine.Engine

// Run tests an engine against its contract.
func Run(t *testing.T, open Open) {
	s := NewSuite(t, open)
	for _, part := range []struct {
		name string
		test func(*Suite, *testing.T)
	}{
		{"Exports", (*Suite).exports},
		{"Helpers", (*Suite).helpers},
		{"Headers", (*Suite).headers},
		{"Streaming", (*Suite).streaming},
		{"Upgrade", (*Suite).upgrade},
		{"Abort", (*Suite).abort},
		{"Concurrency", (*Suite).concurrency},
		{"Logging", (*Suite).logging},
		{"Failures", (*Suite).failures},
		{"Neighbours", (*Suite).neighbours},
		{"Deaths", (*Suite).deaths},
		{"Memory", (*Suite).memory},
		{"Files", (*Suite).files},
		{"Environment", (*Suite).environment},
		{"Background", (*Suite).background},
		{"Loading", (*Suite).loading},
		{"Stop", (*Suite).stop},
		{"Usage", (*Suite).usage},
		{"Runtimes", (*Suite).runtimes},
		{"Edge", (*Suite).edge},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(s, t) })
	}
}

// Suite is an engine with the functions of the suite.
type Suite struct {
	Engine engine.Engine
	Logs   *Logs
}

//go:embed testdata
var testdata embed.FS

// NewSuite opens an engine with the functions of the suite.
func NewSuite(t testing.TB, open Open) *Suite {
	t.Helper()
	trees := filepath.Join(Reachable(t), "trees")
	for _, name := range []string{"exports", "node", "load", "edge"} {
		layOut(t, filepath.Join(trees, string(treeOf(name))), name)
	}
	logs := &Logs{}
	return &Suite{Logs: logs, Engine: open(t, Fixture{
		TreesDir: trees, Logs: logs,
		Trees: func(_ context.Context, tree lateen.Digest) (string, error) {
			return filepath.Join(trees, string(tree)), nil
		},
	})}
}

// Reachable returns a directory that other users can reach, as functions without
// mounts of their own require.
func Reachable(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// treeOf returns the digest of the tree of a txtar file in testdata.
func treeOf(name string) lateen.Digest { return lateen.DigestOf([]byte(name)) }

// layOut unpacks a txtar file of testdata to a world-readable tree.
func layOut(t testing.TB, dir, name string) {
	t.Helper()
	source, err := testdata.ReadFile(path.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	files := txtar.Parse(source).Files
	if name == "edge" {
		files = append(files, txtar.File{Name: "add.wasm", Data: adder()}, txtar.File{Name: "wasm/wasm_add.wasm", Data: adder()})
	}
	for _, f := range files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o444); err != nil {
			t.Fatal(err)
		}
	}
}

// adder is a WebAssembly module that exports add(a, b) of 32-bit integers.
func adder() []byte {
	return []byte("\x00asm\x01\x00\x00\x00\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\x00" +
		"\x07\x07\x01\x03add\x00\x00\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b")
}

// Toolchain returns the toolchain that all tests share.
func Toolchain(t testing.TB) *toolchain.Toolchain {
	t.Helper()
	dir := os.Getenv("LATEEN_TEST_RUNTIMES")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(cache, "lateen", "runtimes")
	}
	tools, err := toolchain.New(toolchain.Options{Dir: dir, Registry: os.Getenv("NPM_CONFIG_REGISTRY")})
	if err != nil {
		t.Fatal(err)
	}
	return tools
}
