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

// scope is the entries that are dropped together, and what was invalidated
// among them.
type scope struct {
	dir    string
	marks  *marks
	tenant atomic.Pointer[string] // never nil
	used   atomic.Int64           // bytes on disk, of the items

	// mu is held while a file gets or loses its name, so that the index, the
	// directory and the memory agree on which version of an entry is current.
	mu      sync.Mutex // guards below
	items   map[[32]byte]*item
	dropped bool
}

// item is a file of the index. A file replaced is another item.
type item struct {
	size   int64        // set before it is in the index
	born   int64        // of the entry, Unix nanoseconds; 0 if it is not known
	access atomic.Int64 // Unix nanoseconds of the last use
	saved  atomic.Int64 // access as the file's modification time has it
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

// grow notes that the items of s take n bytes more.
func (c *Cache) grow(s *scope, n int64) {
	s.used.Add(n)
	c.used.Add(n)
}

func (s *scope) path(hash [32]byte) string {
	name := Key{Hash: hash}.String()
	return filepath.Join(s.dir, name[:2], name[2:])
}

// invalidate marks names, see [marks.invalidate]. The directory is made by the
// first invalidation, and again where a drop of an earlier scope of this name
// takes it away.
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

// mkdir makes dir and what is above it, unless the scope is dropped.
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
			c.o.Log.Error("a kept page cannot be opened", "deployment_id", key.Scope, "err", err)
		}
		return nil
	}
	e, err := readEntry(f, key, c.o.MaxInline)
	if err != nil {
		c.o.Log.Warn("a kept page is unreadable and is made anew", "deployment_id", key.Scope, "path", f.Name(), "err", err)
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
			c.holdLocked(s, key.Hash, e)
		}
	}
	return e
}

// holdLocked keeps e, which has its item, in memory, unless a newer entry is there:
// one that is shown before it is on disk.
func (c *Cache) holdLocked(s *scope, hash [32]byte, e *Entry) {
	if !c.overtakenLocked(s, hash, e) {
		c.memory.Set(s.owner(), slot{s, hash}, e, e.weight())
	}
}

// overtakenLocked reports whether a newer entry than e is in memory. A seed, which
// has no item, is older than any.
func (c *Cache) overtakenLocked(s *scope, hash [32]byte, e *Entry) bool {
	current, ok := c.memory.Get(slot{s, hash})
	return ok && current.item != nil && current.Born.After(e.Born)
}

// bornSince reports whether the entry of key, in memory or in the index, is known
// to have been born at since or later. It reads no file.
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

// open opens the file of an entry. It is that of the item, which is added to
// the index if need be.
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
	c.grow(s, it.size)
	return it
}

// show makes e, which is not on disk yet, the entry of key if its body is in memory.
func (c *Cache) show(s *scope, key Key, e *Entry) {
	e.item = newItem(0, e.Born.UnixNano(), time.Now())
	if s == nil || !e.inline() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped {
		c.holdLocked(s, key.Hash, e)
	}
}

// keep makes e, whose body sp holds, the entry of key, durably. The error is
// [errDropped] once its scope s is dropped.
func (c *Cache) keep(s *scope, key Key, e *Entry, sp *spool) error {
	if s == nil {
		return fmt.Errorf("keep an entry: %q is no name of a deployment", key.Scope)
	}
	out, err := sp.file()
	if err != nil {
		return fmt.Errorf("keep an entry: %w", err)
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
		return fmt.Errorf("keep an entry: %w", err)
	}
	c.evict()
	return nil
}

// place gives the sealed file of e its name and makes it current.
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
		return nil // a newer one has overtaken it
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
		c.grow(s, -old.size)
	}
	e.item.size = size
	s.items[hash] = e.item
	c.grow(s, size)
	switch {
	case e.inline():
		c.holdLocked(s, hash, e)
	case !c.overtakenLocked(s, hash, e):
		c.memory.Delete(slot{s, hash})
	}
	return nil
}

// remove takes the entry off the disk, and out of memory, if it is still the one
// there: one that is shown before it is on disk stays.
func (c *Cache) remove(s *scope, hash [32]byte, it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[hash] != it {
		return
	}
	delete(s.items, hash)
	c.grow(s, -it.size)
	if e, ok := c.memory.Get(slot{s, hash}); ok && e.item == it {
		c.memory.Delete(slot{s, hash})
	}
	if err := os.Remove(s.path(hash)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.o.Log.Error("a kept page cannot be removed", "err", err)
	}
}

// droppedPrefix begins the name of a directory that is to be removed.
const droppedPrefix = "dropped-"

// discard drops s, which nobody finds any more. Its files are removed later.
func (c *Cache) discard(s *scope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = true
	for _, it := range s.items {
		c.grow(s, -it.size)
	}
	s.items = nil
	err := os.Rename(s.dir, filepath.Join(c.tmp(), droppedPrefix+filepath.Base(s.dir)+"-"+time.Now().Format("150405.000000000")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop kept pages: %w", err)
	}
	select {
	case c.trash <- struct{}{}:
	default:
	}
	return nil
}

// samples is of how many entries the least recently used one is evicted.
const samples = 16

// evict removes entries until they fit, of the tenant that has most at each
// moment: none loses an entry to another that has more. It makes some room more,
// so that the next entries need not look for that tenant again.
func (c *Cache) evict() {
	if c.used.Load() <= c.o.MaxBytes || !c.evicting.TryLock() {
		return
	}
	defer c.evicting.Unlock()
	for some := c.o.MaxBytes / 64; c.used.Load() > c.o.MaxBytes-some; {
		scopes, _ := c.greatest(func(s *scope) (string, int64) { return s.owner(), s.used.Load() })
		for until := c.used.Load() - max(some, 1); c.used.Load() > until; {
			s, hash, it := victim(scopes)
			if it == nil {
				return // it was dropped meanwhile
			}
			c.remove(s, hash, it)
		}
	}
}

// greatest returns the scopes of the tenant that has most of something, of which
// each scope and its tenant is asked, and how much all tenants have of it.
func (c *Cache) greatest(part func(s *scope) (tenant string, n int64)) (scopes []*scope, total int64) {
	all, has := map[string][]*scope{}, map[string]int64{}
	most := ""
	for _, s := range c.all() {
		tenant, n := part(s)
		if n <= 0 {
			continue
		}
		all[tenant] = append(all[tenant], s)
		has[tenant] += n
		total += n
	}
	for tenant, n := range has {
		if n > has[most] {
			most = tenant
		}
	}
	return all[most], total
}

// forget removes the older half of the names of invalidated tags and groups from the
// greatest scope of the tenant with most names, until the names of all tenants are
// within bound, or no scope has more than the mark that stands for what it forgot. Scopes without a known project, whose pages were never
// requested, count as one tenant.
func (c *Cache) forget(bound int64) error {
	for {
		scopes, total := c.greatest(func(s *scope) (string, int64) {
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
		if err := most.marks.halve(); err != nil && !errors.Is(err, fs.ErrNotExist) { // as of one that is dropped meanwhile
			return err
		}
	}
}

// victim returns the least recently used of some entries of scopes; the order of
// maps is the chance in it.
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
