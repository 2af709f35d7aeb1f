// Package archive keeps what functions compiled to, so that later processes
// need not compile it again.
package archive

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
	// Max is how many bytes one archive has at most, as an agent sends it.
	Max = 64 << 20
	// MaxModule is Max for the archive of a WebAssembly module, all of whose code
	// is compiled.
	MaxModule = 256 << 20

	maxFiles  = 20_000
	maxIndex  = 4 << 20 // bytes
	maxDirs   = 64
	maxDepth  = 4       // directories above a file
	blockSize = 4 << 10 // that the least file takes, and each directory

	defaultLimit = 1 << 30 // bytes of all archives
)

// Store is a directory of archives: DIR/<function's key>/<tag>/…, where the tag
// stands for all that makes an archive readable. What is inside was made by a
// function's own process, and is read by no other function's. Its methods may be
// called concurrently.
type Store struct {
	dir   string
	limit int64 // bytes of all
	build string

	mu    sync.Mutex // guards below
	known map[string]*Archive
	size  int64
}

// Archive is what one function compiled to.
type Archive struct {
	Dir              string // where it is; what is dropped is gone from there
	Scripts, Imports bool   // what it has: a file, and a directory
	Modules          bool   // so, another directory
	Size             int64  // bytes that it takes

	used time.Time
}

// Open reads which archives a directory has, and removes those that no process
// of this build of the agent can read. All of them are kept within limit bytes;
// 0 is 1 GiB.
func Open(dir string, limit int64, build string) (*Store, error) {
	a := &Store{dir: dir, limit: cmp.Or(limit, defaultLimit), build: build, known: map[string]*Archive{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open the archives: %w", err)
	}
	if err := removeUnfinished(dir); err != nil {
		return nil, fmt.Errorf("open the archives: %w", err)
	}
	all, err := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("open the archives: %w", err)
	}
	for _, at := range all {
		name, err := filepath.Rel(dir, at)
		if err != nil || !strings.HasPrefix(filepath.Base(at), build+"-") {
			a.removeDir(at) // of another build, or half made
			continue
		}
		if found, err := inspect(at); err == nil {
			a.known[name] = found
			a.size += found.Size
		}
	}
	a.shrinkLocked()
	return a, nil
}

// unfinished begins the name of a directory that an archive is unpacked in.
const unfinished = ".work-"

// removeUnfinished removes what processes that were killed had begun to unpack.
func removeUnfinished(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, unfinished+"*"))
	for _, at := range left {
		err = errors.Join(err, os.RemoveAll(at))
	}
	return err
}

// inspect looks what a directory has.
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

// name is that of a function's archive for processes with a tag.
func (a *Store) name(key lateen.FunctionKey, tag string) (string, bool) {
	name := filepath.Join(string(key), a.build+"-"+tag)
	ok := tag != "" && filepath.IsLocal(name) && strings.Count(name, string(filepath.Separator)) == 2 && !strings.ContainsAny(tag, "/.")
	return name, ok
}

// Find returns the archive of a function for processes with a tag; nil if there
// is none.
func (a *Store) Find(key lateen.FunctionKey, tag string) *Archive {
	name, ok := a.name(key, tag)
	if !ok {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.known[name]
	if found == nil {
		return nil
	}
	found.used = time.Now()
	return &Archive{Dir: found.Dir, Scripts: found.Scripts, Imports: found.Imports, Modules: found.Modules, Size: found.Size}
}

// Put stores what an agent packed, at most so many bytes, in the place of what
// there was.
func (a *Store) Put(key lateen.FunctionKey, tag string, packed io.Reader, most int64) error {
	name, ok := a.name(key, tag)
	if !ok {
		return fmt.Errorf("%q and %q name no archive", key, tag)
	}
	at := filepath.Join(a.dir, name)
	work, err := os.MkdirTemp(a.dir, unfinished)
	if err != nil {
		return fmt.Errorf("store an archive: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // it is gone unless something else failed
	if err := unpack(work, io.LimitReader(packed, most)); err != nil {
		return fmt.Errorf("store an archive: %w", err)
	}
	made, err := inspect(work)
	if err == nil {
		err = os.Chmod(work, 0o755)
	}
	if err != nil {
		return fmt.Errorf("store an archive: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removeLocked(name)
	if !made.Scripts && !made.Imports && !made.Modules {
		return nil // nothing was compiled
	}
	err = os.MkdirAll(filepath.Dir(at), 0o755)
	if err == nil {
		err = os.Rename(work, at)
	}
	if err != nil {
		return fmt.Errorf("store an archive: %w", err)
	}
	made.Dir, made.used = at, time.Now()
	a.known[name] = made
	a.size += made.Size
	a.shrinkLocked()
	return nil
}

// unpack writes files as an agent sends them: the length of an index, the index
// [[name, length]…], the files.
func unpack(dir string, packed io.Reader) error {
	var length uint32
	if err := binary.Read(packed, binary.LittleEndian, &length); err != nil {
		return fmt.Errorf("read its index: %w", err)
	}
	if length > maxIndex {
		return errors.New("its index is too long")
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(packed, text); err != nil {
		return fmt.Errorf("read its index: %w", err)
	}
	var files [][2]any
	if err := json.Unmarshal(text, &files); err != nil {
		return fmt.Errorf("read its index: %w", err)
	}
	if len(files) > maxFiles {
		return errors.New("it has too many files")
	}
	dirs := map[string]bool{}
	for _, file := range files {
		name, isText := file[0].(string)
		size, isNumber := file[1].(float64)
		if !isText || !isNumber || !filepath.IsLocal(name) || size < 0 || size > MaxModule {
			return fmt.Errorf("its index names %v", file)
		}
		dirs[filepath.Dir(filepath.Clean(name))] = true
		if len(dirs) > maxDirs || strings.Count(name, "/") > maxDepth {
			return errors.New("it has too many directories")
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

// Drop removes an archive that turned out to be of no use.
func (a *Store) Drop(key lateen.FunctionKey, tag string) {
	if name, ok := a.name(key, tag); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.removeLocked(name)
	}
}

// Forget removes the archives of a deployment.
func (a *Store) Forget(d lateen.DeploymentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.known {
		if strings.HasPrefix(name, string(d)+string(filepath.Separator)) {
			a.removeLocked(name)
		}
	}
}

// removeLocked removes an archive, if there is one. Processes that read it do
// without what they have not read.
func (a *Store) removeLocked(name string) {
	if found := a.known[name]; found != nil {
		delete(a.known, name)
		a.size -= found.Size
		a.removeDir(found.Dir)
	}
}

// removeDir removes the directory of an archive, and those of its function and
// deployment if they have no other. Directories that stay are removed when the
// archives are opened next.
func (a *Store) removeDir(at string) {
	_ = os.RemoveAll(at)
	for dir := filepath.Dir(at); dir != a.dir && os.Remove(dir) == nil; {
		dir = filepath.Dir(dir)
	}
}

// shrinkLocked removes the archives that were not used for longest until the
// others fit.
func (a *Store) shrinkLocked() {
	if a.size <= a.limit {
		return
	}
	names := make([]string, 0, len(a.known))
	for name := range a.known {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int { return a.known[x].used.Compare(a.known[y].used) })
	for _, name := range names {
		if a.size <= a.limit {
			return
		}
		a.removeLocked(name)
	}
}

// Has reports whether a function has an archive, for processes of any kind.
func (a *Store) Has(key lateen.FunctionKey) bool {
	if !filepath.IsLocal(string(key)) {
		return false
	}
	entries, err := os.ReadDir(filepath.Join(a.dir, string(key)))
	if err != nil {
		return false // most have no directory
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range entries {
		if a.known[filepath.Join(string(key), e.Name())] != nil {
			return true
		}
	}
	return false
}
