package cache

import (
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/share"
)

// slot is the key of an entry in memory. It holds the scope itself, so the entries
// of a dropped scope are never found.
type slot struct {
	scope *scope
	hash  [32]byte
}

// storage is the scopes and their entries, in memory over disk.
type storage struct {
	o       Options
	memory  *share.Cache[string, slot, *Entry] // by tenant
	used    atomic.Int64                       // bytes of the indexed entries on disk
	data    atomic.Int64                       // those of data
	count   atomic.Int64                       // the indexed entries on disk
	dropped chan struct{}                      // signals that dropped directories wait for removal
	clock   *clock

	evicting sync.Mutex // held by the goroutine that evicts entries from disk

	mu     sync.RWMutex // guards below
	scopes map[string]*scope
	gone   []string // the last scopes whose data was dropped
}

func newStorage(o Options, order *clock) *storage {
	return &storage{
		o: o, clock: order, scopes: map[string]*scope{}, dropped: make(chan struct{}, 1),
		memory: share.NewCache[string, slot, *Entry](o.MaxMemory),
	}
}

func (st *storage) entries() string { return filepath.Join(st.o.Dir, "entries") }
func (st *storage) tmp() string     { return filepath.Join(st.o.Dir, "tmp") }

// now reads the clock that orders cache fills and invalidations.
func (st *storage) now() time.Time { return time.Unix(0, st.clock.tick()) }

// addUsed adds items with n bytes to those of s.
func (st *storage) addUsed(s *scope, n, items int64) {
	st.count.Add(items)
	s.used.Add(n)
	st.used.Add(n)
	if s.data {
		st.data.Add(n)
	}
}

// scopePattern admits safe directory names.
var scopePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// scopeOf returns the scope of key, or nil if its name is invalid.
func (st *storage) scopeOf(key Key) *scope {
	s := st.scope(key.Scope)
	if s != nil && key.Tenant != "" && s.owner() != key.Tenant {
		owner := key.Tenant
		s.tenant.Store(&owner)
	}
	return s
}

// scope returns the scope called name, or nil if the name is invalid.
func (st *storage) scope(name string) *scope {
	st.mu.RLock()
	s := st.scopes[name]
	st.mu.RUnlock()
	if s != nil {
		return s
	}
	fresh := st.newScope(name)
	if fresh == nil {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if s := st.scopes[name]; s != nil {
		return s
	}
	st.scopes[name] = fresh
	return fresh
}

func (st *storage) newScope(name string) *scope {
	if !scopePattern.MatchString(name) {
		return nil
	}
	dir := filepath.Join(st.entries(), name)
	marks, err := openMarks(filepath.Join(dir, "invalidated"))
	if err != nil {
		st.o.Log.Error("invalidations unreadable: all cached pages of the deployment expire", "deployment_id", name, "err", err)
		at := st.clock.tick()
		marks.setLocked(anyName, Mark{Stale: at, Expired: at})
	}
	s := &scope{dir: dir, data: strings.HasSuffix(name, dataSuffix), marks: marks, items: map[[32]byte]*item{}}
	s.tenant.Store(&name)
	return s
}

// allScopes returns the scopes.
func (st *storage) allScopes() []*scope {
	st.mu.RLock()
	defer st.mu.RUnlock()
	list := make([]*scope, 0, len(st.scopes))
	for _, s := range st.scopes {
		list = append(list, s)
	}
	return list
}
