package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/datacache"
)

const (
	// dataSuffix ends the name of the scope with the data of another scope, whose marks
	// apply to it.
	dataSuffix = "-data"
	maxGone    = 4096    // dropped scopes that are remembered
	maxItems   = 1 << 16 // values of a scope
	metaField  = "Meta"  // header field with the Meta of a value
)

// Data is a [datacache.Cache] in a cache of pages: a value is an entry like a page, and
// the invalidations of its deployment apply to both. Use [Cache.Data].
type Data struct {
	storage *storage

	hits, misses, stored, refused atomic.Int64
}

// Data returns the data cache in c.
func (c *Cache) Data() *Data { return &Data{storage: c.storage} }

// DataStats counts the requests of a data cache since the start.
type DataStats struct{ Hits, Misses, Stored, Refused int64 }

// Stats returns the counts.
func (d *Data) Stats() DataStats {
	return DataStats{d.hits.Load(), d.misses.Load(), d.stored.Load(), d.refused.Load()}
}

// Used is the number of bytes that the values take on disk, a part of [Cache.Used].
func (d *Data) Used() int64 { return d.storage.data.Load() }

// dataKey returns the key of a value.
func dataKey(o datacache.Owner, key string) Key {
	k := NewKey(string(o.Deployment)+dataSuffix, key)
	k.Tenant = string(o.Project)
	return k
}

// Get implements [datacache.Cache].
func (d *Data) Get(_ context.Context, o datacache.Owner, key string, soft []string) (datacache.Value, error) {
	v := datacache.Value{State: datacache.Miss, Now: d.storage.clock.tick()}
	e := d.storage.get(dataKey(o, key))
	if e != nil {
		v.State = d.state(o, e, soft)
	}
	if v.State == datacache.Miss {
		if e != nil {
			e.Close()
		}
		d.misses.Add(1)
		return v, nil
	}
	d.hits.Add(1)
	v.Meta, v.Size, v.Body = e.Header.Get(metaField), e.Size, &openEntry{e.Body(), e}
	return v, nil
}

// openEntry is the body of an entry; Close closes the entry.
type openEntry struct {
	io.Reader

	e *Entry
}

// Close implements [io.Closer].
func (o *openEntry) Close() error { o.e.Close(); return nil }

// state returns the state of a value, as if it also had the tags soft.
func (d *Data) state(o datacache.Owner, e *Entry, soft []string) datacache.State {
	s, now := d.storage.scope(string(o.Deployment)), time.Now()
	if s == nil || e.Completed.Sub(now) > futureTolerance {
		return datacache.Miss
	}
	switch state, _ := e.state(now, s.marks.freshnessWith(e, SplitTags(soft))); state {
	case Fresh:
		return datacache.Fresh
	case Stale:
		return datacache.Stale
	default:
		return datacache.Miss
	}
}

// Put implements [datacache.Cache].
func (d *Data) Put(_ context.Context, o datacache.Owner, key string, v datacache.Item) (bool, error) {
	done, err := d.put(o, key, v)
	if done {
		d.stored.Add(1)
	} else {
		d.refused.Add(1)
	}
	return done, err
}

func (d *Data) put(o datacache.Owner, key string, v datacache.Item) (bool, error) {
	now, k := d.storage.clock.tick(), dataKey(o, key)
	if v.Started <= 0 || v.Started > now {
		v.Started = now
	}
	e := &Entry{
		Status: http.StatusOK, Header: http.Header{metaField: {v.Meta}}, Tags: SplitTags(v.Tags), Group: dataGroup,
		Started: time.Unix(0, v.Started), Completed: time.Now(), Fresh: -1, Usable: v.Usable,
	}
	s := d.storage.scopeOf(k)
	if s == nil || d.storage.isGone(string(o.Deployment)) || d.state(o, e, nil) != datacache.Fresh {
		return false, nil // removed or invalidated meanwhile
	}
	switch err := d.storage.put(s, k, e, v.Body); {
	case errors.Is(err, errDropped):
		return false, nil
	case err != nil:
		return false, err
	}
	d.storage.trim(s)
	return true, nil
}

// Invalidate implements [datacache.Cache].
func (d *Data) Invalidate(_ context.Context, o datacache.Owner, v datacache.Invalidation) error {
	if d.storage.isGone(string(o.Deployment)) {
		return nil
	}
	if err := d.storage.invalidateOnce(v.ID, string(o.Deployment), SplitTags(v.Tags), v.Grace); err != nil {
		d.storage.o.Log.Error("an invalidation may not survive a restart", "deployment_id", string(o.Deployment), "err", err)
	}
	return nil // it has taken effect
}

// put stores e with a body in memory.
func (st *storage) put(s *scope, key Key, e *Entry, body []byte) error {
	sp := newSpool(st.o.MaxInline, int64(len(body)), func() (*atomicfile.File, error) { return atomicfile.Create(st.tmp()) })
	defer sp.release()
	sp.release() // it has no reader
	if err := sp.fill(bytes.NewReader(body)); err != nil {
		return err
	}
	sp.describe(e)
	st.publish(s, key, e)
	return st.store(s, key, e, sp)
}

// trim removes the least recently used values of s until the rest fit.
func (st *storage) trim(s *scope) {
	for s.used.Load() > st.o.MaxData || s.count() > maxItems {
		_, hash, it := victim([]*scope{s})
		if it == nil {
			return
		}
		st.remove(s, hash, it)
	}
}

// count is the number of items on disk.
func (s *scope) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}

// dropData removes the data of a scope, and takes none of the scope any more.
func (st *storage) dropData(name string) error {
	st.mu.Lock()
	st.gone = append(st.gone, name)
	st.gone = st.gone[max(0, len(st.gone)-maxGone):]
	st.mu.Unlock()
	return st.drop(name + dataSuffix)
}

// isGone reports whether the data of a scope was dropped.
func (st *storage) isGone(name string) bool {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return slices.Contains(st.gone, name)
}
