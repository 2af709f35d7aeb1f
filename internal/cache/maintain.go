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
func (st *storage) maintain(ctx context.Context) {
	st.scan(ctx)
	st.evict()
	tick := time.NewTicker(accessGrain / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			st.saveAccess(0)
			return
		case <-st.dropped:
			st.removeDropped()
		case now := <-tick.C:
			st.expire(now)
			st.saveAccess(accessGrain)
		}
	}
}

// scan indexes the entries on disk. Directories that it cannot read are not counted
// until a request loads their entries.
func (st *storage) scan(ctx context.Context) {
	for _, dir := range listDir(st.entries()) {
		s := st.scope(dir)
		if s == nil {
			continue
		}
		for _, sub := range listDir(s.dir) {
			if ctx.Err() != nil {
				return
			}
			st.scanDir(s, sub)
		}
	}
}

// scanDir indexes the files of one directory of s.
func (st *storage) scanDir(s *scope, sub string) {
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
			st.indexLocked(s, h, info)
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

// expire removes the entries that have had no request for [Options].MaxIdle.
func (st *storage) expire(now time.Time) {
	for _, s := range st.allScopes() {
		for hash, it := range s.snapshot() {
			if now.Sub(time.Unix(0, it.access.Load())) > st.o.MaxIdle {
				st.remove(s, hash, it)
			}
		}
	}
}

// saveAccess writes access times to disk where they are more than grain later than
// the saved ones. An entry that replaces another meanwhile may get the time of its
// predecessor, which is a moment ago.
func (st *storage) saveAccess(grain time.Duration) {
	for _, s := range st.allScopes() {
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
func (st *storage) removeDropped() {
	for _, name := range listDir(st.tmp()) {
		if strings.HasPrefix(name, droppedPrefix) {
			if err := os.RemoveAll(filepath.Join(st.tmp(), name)); err != nil {
				st.o.Log.Error("could not remove dropped pages", "err", err)
			}
		}
	}
}
