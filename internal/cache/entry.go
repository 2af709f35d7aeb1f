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

// Key names an entry. Scope is what is dropped as a whole and what tags belong
// to: a deployment. Hash stands for everything else that tells responses apart.
type Key struct {
	Scope string
	Hash  [sha256.Size]byte
	// Tenant is whose part of the cache the entries of Scope take, and of the
	// places for makings: a project. "" is a tenant of the places, too; for the
	// entries it is the tenant of an earlier key of Scope, or else Scope itself.
	Tenant string
}

// NewKey returns the key in scope for parts, in their order; no two lists of
// parts share one.
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

// Entry is a kept response. What Get returns is shared: its fields are read
// only. It is closed after use.
type Entry struct {
	Status int
	Header http.Header
	Tags   []string // valid UTF-8
	// Group joins entries that are made anew together: one that is older than
	// its group's latest regeneration is stale. "" is none.
	Group string

	// Born is when making the response began, by [Cache.Now]: what was invalidated
	// since may be in it.
	Born time.Time
	// Kept is when the response was complete: its age counts from here.
	Kept time.Time
	// Fresh is how long after Kept the entry is fresh; negative is until it is invalidated.
	Fresh time.Duration
	// Usable is how long after Kept it may be served at all, fresh or stale; 0 is for ever.
	Usable time.Duration

	Size   int64         // bytes of the body
	Digest lateen.Digest // of the body

	body []byte               // the whole body, where it is in memory
	file io.ReadCloser        // or the body at its start, to be read once
	fate atomic.Pointer[fate] // as last looked up
	item *item                // of the index; nil for an entry that is not on disk

	variant struct {
		sync.Mutex

		byName map[string][]byte
	}
}

// SetBody makes b the body of an entry that is not shared yet.
func (e *Entry) SetBody(b []byte) { e.body, e.file, e.Size = b, nil, int64(len(b)) }

// SetFile makes the size bytes that f yields the body of an entry that is not
// shared yet; Close closes f.
func (e *Entry) SetFile(f io.ReadCloser, size int64) { e.body, e.file, e.Size = nil, f, size }

// Bytes is the body where it is in memory; else nil. It is read only.
func (e *Entry) Bytes() []byte { return e.body }

// Body reads the body from its start, once. A body on disk is an [*os.File]
// under an [io.LimitedReader], so that the kernel can send it.
func (e *Entry) Body() io.Reader {
	if e.file == nil {
		return bytes.NewReader(e.body)
	}
	return &io.LimitedReader{R: e.file, N: e.Size}
}

// Variant returns what derive makes of the body, which is in memory: a compressed
// form of it, say. It is remembered under name for as long as the entry itself.
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

// Close lets go of the body.
func (e *Entry) Close() {
	if e.file != nil {
		e.file.Close()
	}
}

// Age is how old the entry is, never negative.
func (e *Entry) Age(now time.Time) time.Duration { return max(0, now.Sub(e.Kept)) }

// State is what may be done with an entry.
type State int

// The states of an entry.
const (
	Fresh   State = iota // serve it
	Stale                // serve it, and make it anew behind the client's back
	Expired              // make it anew first
)

// Reason is why an entry is not fresh.
type Reason string

// The reasons.
const (
	ByTime  Reason = "stale_time"  // it is too old
	ByTag   Reason = "stale_tag"   // a tag of it was invalidated
	ByGroup Reason = "stale_group" // another member of its group was made anew
)

// clockSlack is how far in the future an entry may have been completed and count
// as complete now: now may have been read a moment before. One further ahead was
// completed before the host's clock was set back, and its age is not known.
const clockSlack = time.Minute

// state decides what may be done with e at now, given what was invalidated.
func (e *Entry) state(now time.Time, f *fate) (State, Reason) {
	age := e.Age(now)
	switch {
	case f.expires <= now.UnixNano():
		return Expired, f.expired
	case e.Usable > 0 && age >= e.Usable:
		return Expired, ByTime
	case f.stale != "":
		return Stale, f.stale
	case e.Fresh >= 0 && (age >= e.Fresh || e.Kept.Sub(now) > clockSlack):
		return Stale, ByTime
	}
	return Fresh, ""
}

// inline reports whether the body is in memory.
func (e *Entry) inline() bool { return e.file == nil && int64(len(e.body)) == e.Size }

// clone is e with another body to come.
func (e *Entry) clone() *Entry {
	return &Entry{
		Status: e.Status, Header: e.Header, Tags: e.Tags, Group: e.Group,
		Born: e.Born, Kept: e.Kept, Fresh: e.Fresh, Usable: e.Usable, Size: e.Size, Digest: e.Digest,
	}
}

// weight is the memory that e takes, roughly, with its variants to come.
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
