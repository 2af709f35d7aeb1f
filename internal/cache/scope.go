package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// scope is the entries that are dropped together, and what was invalidated
// among them.
type scope struct {
	dir   string
	marks *marks

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
			c.memory.Set(slot{s, key.Hash}, e)
		}
	}
	return e
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
	c.used.Add(it.size)
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
		c.memory.Set(slot{s, key.Hash}, e)
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
		c.used.Add(-old.size)
	}
	e.item.size = size
	s.items[hash] = e.item
	c.used.Add(size)
	if e.inline() {
		c.memory.Set(slot{s, hash}, e)
	} else {
		c.memory.Invalidate(slot{s, hash})
	}
	return nil
}

// remove takes the entry off the disk if it is still the one of it.
func (c *Cache) remove(s *scope, hash [32]byte, it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[hash] != it {
		return
	}
	delete(s.items, hash)
	c.used.Add(-it.size)
	c.memory.Invalidate(slot{s, hash})
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
		c.used.Add(-it.size)
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

// evict removes entries until they fit.
func (c *Cache) evict() {
	for c.used.Load() > c.o.MaxBytes {
		s, hash, it := c.victim()
		if it == nil {
			return
		}
		c.remove(s, hash, it)
	}
}

// victim returns the least recently used of some entries; the order of maps is
// the chance in it.
func (c *Cache) victim() (from *scope, hash [32]byte, oldest *item) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	seen := 0
	for _, s := range c.scopes {
		s.mu.Lock()
		of := 0
		for h, it := range s.items {
			if oldest == nil || it.access.Load() < oldest.access.Load() {
				from, hash, oldest = s, h, it
			}
			if of++; of == samples/2 {
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
