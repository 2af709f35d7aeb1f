package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// scope is the entries that are dropped together, and the invalidations among them.
type scope struct {
	dir    string
	data   bool // holds the data of another scope
	marks  *marks
	tenant atomic.Pointer[string] // never nil
	used   atomic.Int64           // bytes of the items on disk

	// mu is held while a file is renamed or removed, so that the index, the
	// directory and the memory agree on the current version of an entry.
	mu      sync.Mutex // guards the fields below
	items   map[[32]byte]*item
	dropped bool
}

// owner is the tenant of s.
func (s *scope) owner() string { return *s.tenant.Load() }

func (s *scope) path(hash [32]byte) string {
	name := Key{Hash: hash}.String()
	return filepath.Join(s.dir, name[:2], name[2:])
}

// invalidate marks names, see [marks.invalidate]. The first invalidation creates the
// directory, and so does a later one after the removal of an earlier scope of this
// name took it away.
func (s *scope) invalidate(names []string, at int64, now time.Time, grace time.Duration) error {
	for range 3 {
		err := s.marks.invalidate(names, at, now, grace)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := s.mkdir(s.dir); err != nil {
			return err
		}
	}
	return s.marks.invalidate(names, at, now, grace)
}

// mkdir creates dir and its parents, unless the scope is dropped.
func (s *scope) mkdir(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mkdirLocked(dir)
}

func (s *scope) mkdirLocked(dir string) error {
	if s.dropped {
		return errDropped
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}

var errDropped = errors.New("the deployment was dropped")
