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

// accessGrain is the maximum lag of the access times on disk, which are the files'
// modification times, behind those in memory.
const accessGrain = time.Hour

// maintain indexes the entries on disk, then removes unused ones, until ctx ends.
func (c *Cache) maintain(ctx context.Context) {
	c.scan(ctx)
	c.evict()
	tick := time.NewTicker(accessGrain / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			c.saveAccess(0)
			return
		case <-c.dropped:
			c.removeDropped()
		case now := <-tick.C:
			c.expire(now)
			c.saveAccess(accessGrain)
		}
	}
}

// scan indexes the entries on disk. Directories that it cannot read are not counted
// until a request loads their entries.
func (c *Cache) scan(ctx context.Context) {
	for _, dir := range listDir(c.entries()) {
		s := c.scope(dir)
		if s == nil {
			continue
		}
		for _, sub := range listDir(s.dir) {
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
	for _, name := range listDir(dir) {
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

// listDir lists dir; for a path that is not a directory the list is empty.
func listDir(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	list, _ := f.Readdirnames(-1) // the names read before an error
	return list
}

// allScopes returns the scopes.
func (c *Cache) allScopes() []*scope {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := make([]*scope, 0, len(c.scopes))
	for _, s := range c.scopes {
		list = append(list, s)
	}
	return list
}

// expire removes the entries that have had no request for [Options].MaxIdle.
func (c *Cache) expire(now time.Time) {
	for _, s := range c.allScopes() {
		for hash, it := range s.snapshot() {
			if now.Sub(time.Unix(0, it.access.Load())) > c.o.MaxIdle {
				c.remove(s, hash, it)
			}
		}
	}
}

// saveAccess writes access times to disk where they are more than grain later than
// the saved ones. An entry that replaces another meanwhile may get the time of its
// predecessor, which is a moment ago.
func (c *Cache) saveAccess(grain time.Duration) {
	for _, s := range c.allScopes() {
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

// removeDropped removes the directories of dropped scopes.
func (c *Cache) removeDropped() {
	for _, name := range listDir(c.tmp()) {
		if strings.HasPrefix(name, droppedPrefix) {
			if err := os.RemoveAll(filepath.Join(c.tmp(), name)); err != nil {
				c.o.Log.Error("could not remove dropped pages", "err", err)
			}
		}
	}
}
