package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// get returns the entry of key, or nil.
func (st *storage) get(key Key) *Entry {
	s := st.scopeOf(key)
	if s == nil {
		return nil
	}
	if e, ok := st.memory.Get(slot{s, key.Hash}); ok {
		e.item.touch(time.Now())
		return e
	}
	return st.load(s, key)
}

// seed implements [Cache.Seed].
func (st *storage) seed(key Key, e *Entry) {
	s := st.scopeOf(key)
	if s == nil || e.file != nil || e.Size > st.o.MaxInline {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[key.Hash] == nil && !s.dropped {
		st.memory.SetIfAbsent(s.owner(), slot{s, key.Hash}, e, e.weight())
	}
}

// load reads the entry of key from disk.
func (st *storage) load(s *scope, key Key) *Entry {
	f, it, err := st.open(s, key.Hash)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			st.o.Log.Error("could not open a cached page", "deployment_id", key.Scope, "err", err)
		}
		return nil
	}
	e, err := readEntry(f, key, st.o.MaxInline)
	if err != nil {
		st.o.Log.Warn("cached page unreadable, treated as missing", "deployment_id", key.Scope, "path", f.Name(), "err", err)
		f.Close()
		if errors.Is(err, errDamaged) {
			st.remove(s, key.Hash, it)
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
			st.setMemoryLocked(s, key.Hash, e)
		}
	}
	return e
}

// setMemoryLocked puts e, which has its item, into memory, unless a newer entry is
// there that is published before it is on disk.
func (st *storage) setMemoryLocked(s *scope, hash [32]byte, e *Entry) {
	if !st.newerInMemoryLocked(s, hash, e) {
		st.memory.Set(s.owner(), slot{s, hash}, e, e.weight())
	}
}

// newerInMemoryLocked reports whether an entry newer than e is in memory. A seed, which
// has no item, is older than any.
func (st *storage) newerInMemoryLocked(s *scope, hash [32]byte, e *Entry) bool {
	current, ok := st.memory.Get(slot{s, hash})
	return ok && current.item != nil && current.Started.After(e.Started)
}

// startedSince reports whether the entry of key, in memory or in the index, is known to
// have been started at or after since. It reads no file.
func (st *storage) startedSince(s *scope, key Key, since time.Time) bool {
	if s == nil {
		return false
	}
	if e, ok := st.memory.Get(slot{s, key.Hash}); ok {
		return !e.Started.Before(since)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.items[key.Hash]
	return it != nil && it.started >= since.UnixNano()
}

// open opens the file of an entry and returns its item. A missing item is added to
// the index.
func (st *storage) open(s *scope, hash [32]byte) (*os.File, *item, error) {
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
		it = st.indexLocked(s, hash, info)
	}
	return f, it, nil
}

// indexLocked adds a file to the index of s.
func (st *storage) indexLocked(s *scope, hash [32]byte, info fs.FileInfo) *item {
	it := newItem(info.Size(), 0, info.ModTime())
	s.items[hash] = it
	st.addUsed(s, it.size, 1)
	return it
}

// publish makes e, which is not on disk yet, the entry of key if its body is in memory.
func (st *storage) publish(s *scope, key Key, e *Entry) {
	e.item = newItem(0, e.Started.UnixNano(), time.Now())
	if s == nil || !e.inline() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped {
		st.setMemoryLocked(s, key.Hash, e)
	}
}

// store stores e, whose body sp holds, as the entry of key, durably. The error is
// [errDropped] once its scope s is dropped.
func (st *storage) store(s *scope, key Key, e *Entry, sp *spool) error {
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
		err = st.clock.reserve(e.Started.UnixNano())
	}
	if err == nil {
		err = out.Seal(0o600)
	}
	if err == nil {
		err = st.place(s, key.Hash, e, out, e.Size+n)
	}
	if err != nil {
		return fmt.Errorf("store a cache entry: %w", err)
	}
	st.evict()
	return nil
}

// place renames the sealed file of e to its final name and makes it current.
func (st *storage) place(s *scope, hash [32]byte, e *Entry, out *atomicfile.File, size int64) error {
	name := s.path(hash)
	if err := st.renameInto(s, hash, e, out, name, size); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(name))
}

func (st *storage) renameInto(s *scope, hash [32]byte, e *Entry, out *atomicfile.File, name string, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return errDropped
	}
	if old := s.items[hash]; old != nil && old.started > e.item.started {
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
		st.addUsed(s, -old.size, -1)
	}
	e.item.size = size
	s.items[hash] = e.item
	st.addUsed(s, size, 1)
	switch {
	case e.inline():
		st.setMemoryLocked(s, hash, e)
	case !st.newerInMemoryLocked(s, hash, e):
		st.memory.Delete(slot{s, hash})
	}
	return nil
}

// remove deletes the entry from disk and memory if it is still current. An entry
// that was published before it is on disk stays.
func (st *storage) remove(s *scope, hash [32]byte, it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[hash] != it {
		return
	}
	delete(s.items, hash)
	st.addUsed(s, -it.size, -1)
	if e, ok := st.memory.Get(slot{s, hash}); ok && e.item == it {
		st.memory.Delete(slot{s, hash})
	}
	if err := os.Remove(s.path(hash)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		st.o.Log.Error("could not remove a cached page", "err", err)
	}
}

// droppedPrefix begins the name of a directory to be removed.
const droppedPrefix = "dropped-"

// drop implements [Cache.Drop].
func (st *storage) drop(name string) error {
	st.mu.Lock()
	s := st.scopes[name]
	delete(st.scopes, name)
	st.mu.Unlock()
	if s == nil {
		if s = st.newScope(name); s == nil {
			return nil
		}
	}
	return st.discard(s)
}

// discard drops s, which is no longer in the table of scopes. Its files are removed
// later.
func (st *storage) discard(s *scope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = true
	for _, it := range s.items {
		st.addUsed(s, -it.size, -1)
	}
	s.items = nil
	err := os.Rename(s.dir, filepath.Join(st.tmp(), droppedPrefix+filepath.Base(s.dir)+"-"+time.Now().Format("150405.000000000")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop cached pages: %w", err)
	}
	select {
	case st.dropped <- struct{}{}:
	default:
	}
	return nil
}
