package cache

import (
	"context"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// accessGrain is how far the access times on disk, which are the files'
// modification times, may lag behind those in memory.
const accessGrain = time.Hour

// tend finds the entries on disk, then removes what nobody uses, until ctx ends.
func (c *Cache) tend(ctx context.Context) {
	c.scan(ctx)
	c.evict()
	tick := time.NewTicker(accessGrain / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			c.saveAccess(0)
			return
		case <-c.trash:
			c.empty()
		case now := <-tick.C:
			c.expire(now)
			c.saveAccess(accessGrain)
		}
	}
}

// scan indexes the entries that are on disk. Those it cannot read count for
// nothing until somebody asks for them.
func (c *Cache) scan(ctx context.Context) {
	for _, dir := range names(c.entries()) {
		s := c.scope(dir)
		if s == nil {
			continue
		}
		for _, sub := range names(s.dir) {
			if ctx.Err() != nil {
				return
			}
			c.scanDir(s, sub)
		}
	}
}

// scanDir indexes the files of one directory of s.
func (c *Cache) scanDir(s *scope, sub string) {
	dir := filepath.Join(s.dir, sub)
	for _, name := range names(dir) {
		hash, err := hex.DecodeString(sub + name)
		if err != nil || len(hash) != len(Key{}.Hash) {
			continue
		}
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		s.mu.Lock()
		if h := [32]byte(hash); s.items[h] == nil && !s.dropped {
			c.indexLocked(s, h, info)
		}
		s.mu.Unlock()
	}
}

// names lists dir; one that is not a directory has nothing.
func names(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	list, _ := f.Readdirnames(-1) // what could be read
	return list
}

// all returns the scopes.
func (c *Cache) all() []*scope {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := make([]*scope, 0, len(c.scopes))
	for _, s := range c.scopes {
		list = append(list, s)
	}
	return list
}

// expire removes the entries that nobody asked for in a long time.
func (c *Cache) expire(now time.Time) {
	for _, s := range c.all() {
		for hash, it := range s.snapshot() {
			if now.Sub(time.Unix(0, it.access.Load())) > c.o.MaxIdle {
				c.remove(s, hash, it)
			}
		}
	}
}

// saveAccess writes down when entries were used, where that is more than grain
// later than what is written. An entry replaced meanwhile may get the time of
// the one it replaced, which is a moment ago.
func (c *Cache) saveAccess(grain time.Duration) {
	for _, s := range c.all() {
		for hash, it := range s.snapshot() {
			access := it.access.Load()
			if time.Duration(access-it.saved.Load()) > grain {
				at := time.Unix(0, access)
				if os.Chtimes(s.path(hash), at, at) == nil {
					it.saved.Store(access)
				}
			}
		}
	}
}

// snapshot copies the index of s.
func (s *scope) snapshot() map[[32]byte]*item {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.items)
}

// empty removes what was dropped.
func (c *Cache) empty() {
	for _, name := range names(c.tmp()) {
		if strings.HasPrefix(name, droppedPrefix) {
			if err := os.RemoveAll(filepath.Join(c.tmp(), name)); err != nil {
				c.o.Log.Error("dropped pages cannot be removed", "err", err)
			}
		}
	}
}
