// Package codecache stores the code caches of functions, so that later processes
// need not compile the functions again.
package codecache

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	// Max is the size limit of one packed code cache, in bytes.
	Max = 64 << 20
	// MaxModule is the same limit for the code cache of a WebAssembly module, which
	// has the compiled code of the whole module.
	MaxModule = 256 << 20

	maxFiles  = 20_000
	maxIndex  = 4 << 20 // bytes
	maxDirs   = 64
	maxDepth  = 4       // directories above a file
	blockSize = 4 << 10 // disk space counted for the smallest file and for each directory

	defaultLimit = 1 << 30 // bytes of all code caches
)

// Store is a directory of code caches: DIR/<function's key>/<tag>/…. The tag
// identifies the processes that can read a code cache. The content comes from a
// function's own process, and no process of another function reads it. The methods
// of Store may be called concurrently.
type Store struct {
	dir   string
	limit int64 // bytes of all code caches
	build string

	mu      sync.Mutex // guards the fields below
	entries map[string]*Archive
	size    int64
}

// Archive is the code cache of one function.
type Archive struct {
	Dir              string // its directory, which Drop removes
	Scripts, Imports bool   // has a file "scripts", has a directory "imports"
	Modules          bool   // has a directory "modules"
	Size             int64  // bytes on disk

	used time.Time
}

// Open reads the code caches in a directory, and removes those of other builds of
// the agent. The store keeps the total within limit bytes; 0 is 1 GiB.
func Open(dir string, limit int64, build string) (*Store, error) {
	a := &Store{dir: dir, limit: cmp.Or(limit, defaultLimit), build: build, entries: map[string]*Archive{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open code caches: %w", err)
	}
	if err := removeUnfinished(dir); err != nil {
		return nil, fmt.Errorf("open code caches: %w", err)
	}
	all, err := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("open code caches: %w", err)
	}
	for _, at := range all {
		name, err := filepath.Rel(dir, at)
		if err != nil || !strings.HasPrefix(filepath.Base(at), build+"-") {
			a.removeDir(at) // of another build, or incomplete
			continue
		}
		if found, err := inspect(at); err == nil {
			a.entries[name] = found
			a.size += found.Size
		}
	}
	a.shrinkLocked()
	return a, nil
}

// unfinished is the prefix of a directory in which a code cache is unpacked.
const unfinished = ".work-"

// removeUnfinished removes the unpack directories of killed processes.
func removeUnfinished(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, unfinished+"*"))
	for _, at := range left {
		err = errors.Join(err, os.RemoveAll(at))
	}
	return err
}

// inspect reads the content of a directory.
func inspect(dir string) (*Archive, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	found := &Archive{Dir: dir, used: info.ModTime()}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		found.Size += blockSize
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		found.Size += info.Size()
		found.Scripts = found.Scripts || path == filepath.Join(dir, "scripts")
		found.Imports = found.Imports || strings.HasPrefix(path, filepath.Join(dir, "imports")+string(filepath.Separator))
		found.Modules = found.Modules || strings.HasPrefix(path, filepath.Join(dir, "modules")+string(filepath.Separator))
		return nil
	})
	return found, err
}

// name is the path of a function's code cache for processes with a tag.
func (a *Store) name(key lateen.FunctionKey, tag string) (string, bool) {
	name := filepath.Join(string(key), a.build+"-"+tag)
	ok := tag != "" && filepath.IsLocal(name) && strings.Count(name, string(filepath.Separator)) == 2 && !strings.ContainsAny(tag, "/.")
	return name, ok
}

// Find returns the code cache of a function for processes with a tag; nil if there
// is none.
func (a *Store) Find(key lateen.FunctionKey, tag string) *Archive {
	name, ok := a.name(key, tag)
	if !ok {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.entries[name]
	if found == nil {
		return nil
	}
	found.used = time.Now()
	return &Archive{Dir: found.Dir, Scripts: found.Scripts, Imports: found.Imports, Modules: found.Modules, Size: found.Size}
}

// Put unpacks the code cache that an agent packed, of at most most bytes, and
// replaces the earlier one.
func (a *Store) Put(key lateen.FunctionKey, tag string, packed io.Reader, most int64) error {
	name, ok := a.name(key, tag)
	if !ok {
		return fmt.Errorf("invalid key %q or tag %q of a code cache", key, tag)
	}
	at := filepath.Join(a.dir, name)
	work, err := os.MkdirTemp(a.dir, unfinished)
	if err != nil {
		return fmt.Errorf("store a code cache: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // already renamed after a success
	if err := unpack(work, io.LimitReader(packed, most)); err != nil {
		return fmt.Errorf("store a code cache: %w", err)
	}
	made, err := inspect(work)
	if err == nil {
		err = os.Chmod(work, 0o755)
	}
	if err != nil {
		return fmt.Errorf("store a code cache: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removeLocked(name)
	if !made.Scripts && !made.Imports && !made.Modules {
		return nil // no code was compiled
	}
	err = os.MkdirAll(filepath.Dir(at), 0o755)
	if err == nil {
		err = os.Rename(work, at)
	}
	if err != nil {
		return fmt.Errorf("store a code cache: %w", err)
	}
	made.Dir, made.used = at, time.Now()
	a.entries[name] = made
	a.size += made.Size
	a.shrinkLocked()
	return nil
}

// unpack writes the files of an agent's stream: the length of an index, the index
// [[name, length]…], then the files.
func unpack(dir string, packed io.Reader) error {
	var length uint32
	if err := binary.Read(packed, binary.LittleEndian, &length); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	if length > maxIndex {
		return errors.New("the index is too long")
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(packed, text); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	var files [][2]any
	if err := json.Unmarshal(text, &files); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	if len(files) > maxFiles {
		return errors.New("too many files")
	}
	dirs := map[string]bool{}
	for _, file := range files {
		name, isText := file[0].(string)
		size, isNumber := file[1].(float64)
		if !isText || !isNumber || !filepath.IsLocal(name) || size < 0 || size > MaxModule {
			return fmt.Errorf("invalid index item %v", file)
		}
		dirs[filepath.Dir(filepath.Clean(name))] = true
		if len(dirs) > maxDirs || strings.Count(name, "/") > maxDepth {
			return errors.New("too many directories")
		}
		if err := unpackFile(filepath.Join(dir, name), io.LimitReader(packed, int64(size)), int64(size)); err != nil {
			return err
		}
	}
	return nil
}

func unpackFile(path string, from io.Reader, size int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(file, from)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, file.Close())
}

// Drop removes a code cache that proved useless.
func (a *Store) Drop(key lateen.FunctionKey, tag string) {
	if name, ok := a.name(key, tag); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.removeLocked(name)
	}
}

// Forget removes the code caches of a deployment.
func (a *Store) Forget(d lateen.DeploymentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.entries {
		if strings.HasPrefix(name, string(d)+string(filepath.Separator)) {
			a.removeLocked(name)
		}
	}
}

// removeLocked removes a code cache, if it exists. Processes that read it continue
// without the unread part.
func (a *Store) removeLocked(name string) {
	if found := a.entries[name]; found != nil {
		delete(a.entries, name)
		a.size -= found.Size
		a.removeDir(found.Dir)
	}
}

// removeDir removes the directory of a code cache, and those of its function and
// deployment if they are empty. The next Open removes directories that could not be
// removed.
func (a *Store) removeDir(at string) {
	_ = os.RemoveAll(at)
	for dir := filepath.Dir(at); dir != a.dir && os.Remove(dir) == nil; {
		dir = filepath.Dir(dir)
	}
}

// shrinkLocked removes the least recently used code caches until the others are
// within the limit.
func (a *Store) shrinkLocked() {
	if a.size <= a.limit {
		return
	}
	names := make([]string, 0, len(a.entries))
	for name := range a.entries {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int { return a.entries[x].used.Compare(a.entries[y].used) })
	for _, name := range names {
		if a.size <= a.limit {
			return
		}
		a.removeLocked(name)
	}
}

// Has reports whether a function has a code cache, for any processes.
func (a *Store) Has(key lateen.FunctionKey) bool {
	if !filepath.IsLocal(string(key)) {
		return false
	}
	entries, err := os.ReadDir(filepath.Join(a.dir, string(key)))
	if err != nil {
		return false // most functions have no directory
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range entries {
		if a.entries[filepath.Join(string(key), e.Name())] != nil {
			return true
		}
	}
	return false
}
