package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
)

// Key identifies an entry. Scope is a deployment: the unit of removal and the
// namespace of tags. Hash covers everything else that distinguishes responses.
type Key struct {
	Scope string
	Hash  [sha256.Size]byte
	// Tenant is a project. The entries of Scope count against its share of the
	// cache, its cache fills against its share of the places. "" is a tenant of the
	// places, too; for the entries it means the tenant of an earlier key of Scope,
	// or else Scope itself.
	Tenant string
}

// NewKey returns the key in scope for parts, in their order; different lists of
// parts have different keys.
func NewKey(scope string, parts ...string) Key {
	h := sha256.New()
	var n [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		io.WriteString(h, part) //nolint:errcheck // a hash takes everything
	}
	k := Key{Scope: scope}
	h.Sum(k.Hash[:0])
	return k
}

// String is the hash in hex, the name of the entry's file.
func (k Key) String() string { return hex.EncodeToString(k.Hash[:]) }

// Entry is a stored response. Entries from [Cache.Get] are shared and read-only. An
// entry is closed after use.
type Entry struct {
	Status int
	Header http.Header
	Tags   []string // valid UTF-8
	// Group joins entries that are regenerated together: an entry older than its
	// group's latest regeneration is stale. "" is no group.
	Group string

	// Started is the start of the cache fill, by [Cache.Now]. The response may contain
	// data that was invalidated since.
	Started time.Time
	// Completed is the time at which the response was complete; its age counts from here.
	Completed time.Time
	// Fresh is the time after Completed during which the entry is fresh; negative means
	// until an invalidation.
	Fresh time.Duration
	// Usable is the time after Completed during which the entry may be served, fresh or
	// stale; 0 is unlimited.
	Usable time.Duration

	Size   int64         // size of the body in bytes
	Digest lateen.Digest // digest of the body

	body      []byte                    // the whole body, if it is in memory
	file      io.ReadCloser             // or the body at its start, to be read once
	freshness atomic.Pointer[freshness] // result of the last lookup
	item      *item                     // index item; nil for an entry that is not on disk

	variant struct {
		sync.Mutex

		byName map[string][]byte
	}
}

// SetBody makes b the body of an entry that is not shared yet.
func (e *Entry) SetBody(b []byte) { e.body, e.file, e.Size = b, nil, int64(len(b)) }

// SetFile makes the size bytes of f the body of an entry that is not shared yet;
// Close closes f.
func (e *Entry) SetFile(f io.ReadCloser, size int64) { e.body, e.file, e.Size = nil, f, size }

// Bytes is the body if it is in memory, else nil. It is read-only.
func (e *Entry) Bytes() []byte { return e.body }

// Body reads the body from its start, once. A body on disk is an [*os.File] under an
// [io.LimitedReader], so that the kernel can send it.
func (e *Entry) Body() io.Reader {
	if e.file == nil {
		return bytes.NewReader(e.body)
	}
	return &io.LimitedReader{R: e.file, N: e.Size}
}

// Variant returns the result of derive for the body, which is in memory: a
// compressed form, for example. The entry caches it under name.
func (e *Entry) Variant(name string, derive func(body []byte) []byte) []byte {
	e.variant.Lock()
	defer e.variant.Unlock()
	b, ok := e.variant.byName[name]
	if !ok {
		b = derive(e.body)
		if e.variant.byName == nil {
			e.variant.byName = map[string][]byte{}
		}
		e.variant.byName[name] = b
	}
	return b
}

// Close closes the body's file.
func (e *Entry) Close() {
	if e.file != nil {
		e.file.Close()
	}
}

// Age is the age of the entry, never negative.
func (e *Entry) Age(now time.Time) time.Duration { return max(0, now.Sub(e.Completed)) }

// futureTolerance is the tolerance for a completion time in the future: the caller may
// have read now a moment before the completion. An entry further in the future was
// completed before the host's clock was set back, and its age is unknown.
const futureTolerance = time.Minute

// state returns the state of e at now, given the effect of the marks.
func (e *Entry) state(now time.Time, f *freshness) (State, Reason) {
	age := e.Age(now)
	switch {
	case f.expires <= now.UnixNano():
		return Expired, f.expired
	case e.Usable > 0 && age >= e.Usable:
		return Expired, ByTime
	case f.stale != "":
		return Stale, f.stale
	case e.Fresh >= 0 && (age >= e.Fresh || e.Completed.Sub(now) > futureTolerance):
		return Stale, ByTime
	}
	return Fresh, ""
}

// inline reports whether the body is in memory.
func (e *Entry) inline() bool { return e.file == nil && int64(len(e.body)) == e.Size }

// clone is a copy of e without the body.
func (e *Entry) clone() *Entry {
	return &Entry{
		Status: e.Status, Header: e.Header, Tags: e.Tags, Group: e.Group,
		Started: e.Started, Completed: e.Completed, Fresh: e.Fresh, Usable: e.Usable, Size: e.Size, Digest: e.Digest,
	}
}

// weight is the approximate memory use of e, with its later variants.
func (e *Entry) weight() int64 {
	n := 512 + 2*len(e.body)
	for k, vs := range e.Header {
		n += len(k) + 16*len(vs)
		for _, v := range vs {
			n += len(v)
		}
	}
	for _, tag := range e.Tags {
		n += 16 + len(tag)
	}
	return int64(n)
}
