package wasi

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"golang.org/x/sys/cpu"

	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	maxModule = 128 << 20 // bytes
	pageSize  = 64 << 10  // of WebAssembly

	// archived is the directory of a code cache that has the compiled module.
	archived = "modules"
)

// compiler compiles modules, and reads and writes compiled modules.
type compiler struct {
	runtime wazero.Runtime
	version string // version of the compiled format
	dir     string // directory of compiled modules
}

// newCompiler returns a compiler with an empty directory.
func newCompiler(ctx context.Context) (*compiler, error) {
	home, err := os.MkdirTemp("", ".lateen-")
	if err != nil {
		return nil, fmt.Errorf("make the directory of compiled modules: %w", err)
	}
	cache, err := wazero.NewCompilationCacheWithDir(home)
	if err != nil {
		return nil, fmt.Errorf("open the directory of compiled modules: %w", err)
	}
	entries, err := os.ReadDir(home)
	if err != nil || len(entries) != 1 {
		return nil, fmt.Errorf("find the directory of compiled modules: %d entries: %w", len(entries), err)
	}
	c := &compiler{version: entries[0].Name(), dir: filepath.Join(home, entries[0].Name())}
	// Without the checks that WithCloseOnContextDone adds to loops, an endless loop
	// would run on after its request, and would stop the garbage collector for the
	// other requests.
	c.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCompilationCache(cache).WithCloseOnContextDone(true).WithDebugInfoEnabled(false))
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, c.runtime); err != nil {
		return nil, fmt.Errorf("compile the functions of WASI: %w", err)
	}
	return c, nil
}

// tag identifies the inputs on which compiled modules depend: the version of the
// compiler and the features of the processor.
func (c *compiler) tag() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %+v %+v", c.version, runtime.GOARCH, cpu.X86, cpu.ARM64))
	return "wasi" + hex.EncodeToString(sum[:8])
}

// use has the compiler read compiled modules from a code cache.
func (c *compiler) use(a *guest.Archive) error {
	if err := os.Remove(c.dir); err != nil {
		return err
	}
	return os.Symlink(filepath.Join(a.Dir, archived), c.dir)
}

// module is a function's compiled module.
type module struct {
	spec     *guest.Activate
	root     *os.Root // the function's files
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	memory   *budget // shared by all requests
	dir      string  // directory of the compiled module; "" if it came from a code cache
}

// load returns the function's module, from the code cache if the compiler can read it.
// Otherwise load compiles the module, and calls reject if there was a code cache.
func (c *compiler) load(ctx context.Context, spec *guest.Activate, reject func()) (*module, error) {
	m := &module{spec: spec, runtime: c.runtime, dir: c.dir}
	var err error
	if m.root, err = os.OpenRoot(spec.Root); err != nil {
		return nil, fmt.Errorf("open the function's files: %w", err)
	}
	code, err := readModule(m.root, spec.Handler)
	if err != nil {
		return nil, err
	}
	if spec.Archive != nil {
		if err = c.use(spec.Archive); err == nil {
			m.compiled, err = c.runtime.CompileModule(ctx, code)
		}
		if m.dir = ""; err != nil {
			reject()
			if c, err = newCompiler(ctx); err != nil {
				return nil, err
			}
			m.runtime, m.dir = c.runtime, c.dir
		}
	}
	if m.compiled == nil {
		if m.compiled, err = m.runtime.CompileModule(ctx, code); err != nil {
			return nil, fmt.Errorf("the function's module could not be compiled: %w", err)
		}
	}
	limit := int64(spec.Memory) << 20
	for _, memory := range m.compiled.ExportedMemories() {
		if least := int64(memory.Min()) * pageSize; limit > 0 && least > limit {
			return nil, fmt.Errorf("the function's module begins with %d MiB of memory and may use %d", least>>20, spec.Memory)
		}
	}
	freeMemory(spec.Ahead)
	m.memory = newBudget(limit)
	return m, nil
}

// readModule reads a module from the function's files, and from no other place.
func readModule(root *os.Root, handler string) ([]byte, error) {
	file, err := root.Open(filepath.FromSlash(handler))
	if err != nil {
		return nil, fmt.Errorf("the module %s is not among the function's files", handler)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the module %s: %w", handler, err)
	}
	if info.Size() > maxModule {
		return nil, fmt.Errorf("the module %s is larger than %d MiB", handler, maxModule>>20)
	}
	code := make([]byte, info.Size())
	if _, err := io.ReadFull(file, code); err != nil {
		return nil, fmt.Errorf("read the module %s: %w", handler, err)
	}
	return code, nil
}

// maxCompiled is the maximum size in bytes of a compiled module in a code cache.
const maxCompiled = 250 << 20

var (
	// errNoArchive says that a guest has no compiled module for a code cache.
	errNoArchive = errors.New("the module was not compiled for a code cache")
	errTooLarge  = fmt.Errorf("the module compiles to more than %d MiB", maxCompiled>>20)
)

// pack writes the compiled module in the format of package codecache: the length of an
// index, the index, the files.
func (m *module) pack(w io.Writer) error {
	if !m.spec.Record || m.dir == "" {
		return errNoArchive
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("find the compiled module: %w", err)
	}
	if len(entries) != 1 {
		return errNoArchive
	}
	file, err := os.Open(filepath.Join(m.dir, entries[0].Name()))
	if err != nil {
		return fmt.Errorf("open the compiled module: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("open the compiled module: %w", err)
	}
	if info.Size() > maxCompiled {
		return errTooLarge
	}
	index, err := json.Marshal([][2]any{{archived + "/" + entries[0].Name(), info.Size()}})
	if err != nil {
		return fmt.Errorf("encode the index: %w", err)
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(index))) //nolint:gosec // it is short
	if _, err := w.Write(append(head, index...)); err != nil {
		return err
	}
	_, err = io.Copy(w, file)
	return err
}
