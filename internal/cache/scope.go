package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// scope is the entries that are dropped together, and the invalidations among them.
type scope struct {
	dir    string
	marks  *marks
	tenant atomic.Pointer[string] // never nil
	used   atomic.Int64           // bytes of the items on disk

	// mu is held while a file is renamed or removed, so that the index, the
	// directory and the memory agree on the current version of an entry.
	mu      sync.Mutex // guards the fields below
	items   map[[32]byte]*item
	dropped bool
}

// item is a file of the index. A replacement is another item.
type item struct {
	size   int64        // set before the item is in the index
	born   int64        // Born of the entry, Unix nanoseconds; 0 if unknown
	access atomic.Int64 // last use, Unix nanoseconds
	saved  atomic.Int64 // access as saved in the file's modification time
}

func newItem(size, born int64, access time.Time) *item {
	it := &item{size: size, born: born}
	it.access.Store(access.UnixNano())
	it.saved.Store(access.UnixNano())
	return it
}

func (it *item) touch(now time.Time) {
	if it != nil {
		it.access.Store(now.UnixNano())
	}
}

// owner is the tenant of s.
func (s *scope) owner() string { return *s.tenant.Load() }

// addUsed adds n bytes to the size of the items of s.
func (c *Cache) addUsed(s *scope, n int64) {
	s.used.Add(n)
	c.used.Add(n)
}

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

// load reads the entry of key from disk.
func (c *Cache) load(s *scope, key Key) *Entry {
	f, it, err := c.open(s, key.Hash)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.o.Log.Error("could not open a cached page", "deployment_id", key.Scope, "err", err)
		}
		return nil
	}
	e, err := readEntry(f, key, c.o.MaxInline)
	if err != nil {
		c.o.Log.Warn("cached page unreadable, treated as missing", "deployment_id", key.Scope, "path", f.Name(), "err", err)
		f.Close()
		if errors.Is(err, errDamaged) {
			c.remove(s, key.Hash, it)
		}
		return nil
	}
	it.touch(time.Now())
	e.item = it
	if e.inline() {
		f.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.items[key.Hash] == it { // not replaced meanwhile
			c.setMemoryLocked(s, key.Hash, e)
		}
	}
	return e
}

// setMemoryLocked puts e, which has its item, into memory, unless a newer entry is
// there that is published before it is on disk.
func (c *Cache) setMemoryLocked(s *scope, hash [32]byte, e *Entry) {
	if !c.newerInMemoryLocked(s, hash, e) {
		c.memory.Set(s.owner(), slot{s, hash}, e, e.weight())
	}
}

// newerInMemoryLocked reports whether an entry newer than e is in memory. A seed, which
// has no item, is older than any.
func (c *Cache) newerInMemoryLocked(s *scope, hash [32]byte, e *Entry) bool {
	current, ok := c.memory.Get(slot{s, hash})
	return ok && current.item != nil && current.Born.After(e.Born)
}

// bornSince reports whether the entry of key, in memory or in the index, is known to
// have been born at since or later. It reads no file.
func (c *Cache) bornSince(s *scope, key Key, since time.Time) bool {
	if s == nil {
		return false
	}
	if e, ok := c.memory.Get(slot{s, key.Hash}); ok {
		return !e.Born.Before(since)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.items[key.Hash]
	return it != nil && it.born >= since.UnixNano()
}

// open opens the file of an entry and returns its item. A missing item is added to
// the index.
func (c *Cache) open(s *scope, hash [32]byte) (*os.File, *item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return nil, nil, fs.ErrNotExist
	}
	f, err := os.Open(s.path(hash))
	if err != nil {
		return nil, nil, err
	}
	it := s.items[hash]
	if it == nil {
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, nil, err
		}
		it = c.indexLocked(s, hash, info)
	}
	return f, it, nil
}

// indexLocked adds a file to the index of s.
func (c *Cache) indexLocked(s *scope, hash [32]byte, info fs.FileInfo) *item {
	it := newItem(info.Size(), 0, info.ModTime())
	s.items[hash] = it
	c.addUsed(s, it.size)
	return it
}

// publish makes e, which is not on disk yet, the entry of key if its body is in memory.
func (c *Cache) publish(s *scope, key Key, e *Entry) {
	e.item = newItem(0, e.Born.UnixNano(), time.Now())
	if s == nil || !e.inline() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped {
		c.setMemoryLocked(s, key.Hash, e)
	}
}

// store stores e, whose body sp holds, as the entry of key, durably. The error is
// [errDropped] once its scope s is dropped.
func (c *Cache) store(s *scope, key Key, e *Entry, sp *spool) error {
	if s == nil {
		return fmt.Errorf("store a cache entry: invalid deployment name %q", key.Scope)
	}
	out, err := sp.file()
	if err != nil {
		return fmt.Errorf("store a cache entry: %w", err)
	}
	defer out.Discard()
	n, err := writeTrailer(out, key, e)
	if err == nil {
		err = c.clock.reserve(e.Born.UnixNano())
	}
	if err == nil {
		err = out.Seal(0o600)
	}
	if err == nil {
		err = c.place(s, key.Hash, e, out, e.Size+n)
	}
	if err != nil {
		return fmt.Errorf("store a cache entry: %w", err)
	}
	c.evict()
	return nil
}

// place renames the sealed file of e to its final name and makes it current.
func (c *Cache) place(s *scope, hash [32]byte, e *Entry, out *atomicfile.File, size int64) error {
	name := s.path(hash)
	if err := c.renameInto(s, hash, e, out, name, size); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(name))
}

func (c *Cache) renameInto(s *scope, hash [32]byte, e *Entry, out *atomicfile.File, name string, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return errDropped
	}
	if old := s.items[hash]; old != nil && old.born > e.item.born {
		return nil // a newer entry has replaced it
	}
	err := out.Rename(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.mkdirLocked(filepath.Dir(name)); err == nil {
			err = out.Rename(name)
		}
	}
	if err != nil {
		return err
	}
	if old := s.items[hash]; old != nil {
		c.addUsed(s, -old.size)
	}
	e.item.size = size
	s.items[hash] = e.item
	c.addUsed(s, size)
	switch {
	case e.inline():
		c.setMemoryLocked(s, hash, e)
	case !c.newerInMemoryLocked(s, hash, e):
		c.memory.Delete(slot{s, hash})
	}
	return nil
}

// remove deletes the entry from disk and memory if it is still current. An entry
// that was published before it is on disk stays.
func (c *Cache) remove(s *scope, hash [32]byte, it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[hash] != it {
		return
	}
	delete(s.items, hash)
	c.addUsed(s, -it.size)
	if e, ok := c.memory.Get(slot{s, hash}); ok && e.item == it {
		c.memory.Delete(slot{s, hash})
	}
	if err := os.Remove(s.path(hash)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.o.Log.Error("could not remove a cached page", "err", err)
	}
}

// droppedPrefix begins the name of a directory to be removed.
const droppedPrefix = "dropped-"

// discard drops s, which is no longer in the table of scopes. Its files are removed
// later.
func (c *Cache) discard(s *scope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = true
	for _, it := range s.items {
		c.addUsed(s, -it.size)
	}
	s.items = nil
	err := os.Rename(s.dir, filepath.Join(c.tmp(), droppedPrefix+filepath.Base(s.dir)+"-"+time.Now().Format("150405.000000000")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop cached pages: %w", err)
	}
	select {
	case c.dropped <- struct{}{}:
	default:
	}
	return nil
}

// samples is the number of entries from which evict chooses the least recently used.
const samples = 16

// evict removes entries until the rest fit. It always evicts from the tenant that
// holds most, so that no tenant loses an entry to a larger one. It frees a little
// more than needed, so that the next entries do not repeat the search for that
// tenant.
func (c *Cache) evict() {
	if c.used.Load() <= c.o.MaxBytes || !c.evicting.TryLock() {
		return
	}
	defer c.evicting.Unlock()
	for some := c.o.MaxBytes / 64; c.used.Load() > c.o.MaxBytes-some; {
		scopes, _ := c.largestTenant(func(s *scope) (string, int64) { return s.owner(), s.used.Load() })
		for until := c.used.Load() - max(some, 1); c.used.Load() > until; {
			s, hash, it := victim(scopes)
			if it == nil {
				return // dropped meanwhile
			}
			c.remove(s, hash, it)
		}
	}
}

// largestTenant returns the scopes of the tenant with the greatest sum of part, and the
// sum over all tenants. part returns the tenant and the amount of one scope.
func (c *Cache) largestTenant(part func(s *scope) (tenant string, n int64)) (scopes []*scope, total int64) {
	all, has := map[string][]*scope{}, map[string]int64{}
	largest := ""
	for _, s := range c.allScopes() {
		tenant, n := part(s)
		if n <= 0 {
			continue
		}
		all[tenant] = append(all[tenant], s)
		has[tenant] += n
		total += n
	}
	for tenant, n := range has {
		if n > has[largest] {
			largest = tenant
		}
	}
	return all[largest], total
}

// removeNames removes the older half of the names of invalidated tags and groups
// from the largest scope of the tenant with most names, until the names of all
// tenants are within bound, or no scope has more than the mark that replaces its
// removed names. Scopes without a known project, whose pages were never requested,
// count as one tenant.
func (c *Cache) removeNames(bound int64) error {
	for {
		scopes, total := c.largestTenant(func(s *scope) (string, int64) {
			if tenant := s.owner(); tenant != filepath.Base(s.dir) {
				return tenant, int64(s.marks.count())
			}
			return "", int64(s.marks.count())
		})
		if total <= bound {
			return nil
		}
		most := slices.MaxFunc(scopes, func(a, b *scope) int { return a.marks.count() - b.marks.count() })
		if most.marks.count() <= 1 {
			return nil
		}
		if err := most.marks.removeOlderHalf(); err != nil && !errors.Is(err, fs.ErrNotExist) { // the scope may have been dropped meanwhile
			return err
		}
	}
}

// victim returns the least recently used of some random entries of scopes; the order
// of maps makes the choice random.
func victim(scopes []*scope) (from *scope, hash [32]byte, oldest *item) {
	seen := 0
	for i, at := range rand.Perm(len(scopes)) {
		s := scopes[at]
		s.mu.Lock()
		of := 0
		for h, it := range s.items {
			if oldest == nil || it.access.Load() < oldest.access.Load() {
				from, hash, oldest = s, h, it
			}
			if of++; of == samples || of == samples/2 && i < len(scopes)-1 {
				break
			}
		}
		s.mu.Unlock()
		if seen += of; seen >= samples {
			break
		}
	}
	return from, hash, oldest
}
