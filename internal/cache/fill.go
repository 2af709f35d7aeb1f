package cache

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/lateen-dev/lateen"
)

// Reuse says which requests a response may answer.
type Reuse int

// The values of [Reuse].
const (
	ReuseNone    Reuse = iota // only the request that started the cache fill
	ReuseWaiting              // also the requests that wait for it: an error response, for example
	ReuseStored               // also later requests
)

// Propagation is the effect of a new entry on the older members of its group.
type Propagation int

// The values of [Propagation].
const (
	PropagateNone    Propagation = iota // no effect: the entry was missing, or the members are as stale as it was
	PropagateStale                      // they become stale
	PropagateExpired                    // they expire
)

// Response is a response whose header is complete and whose body may still be arriving.
// The cache sets the remaining fields of the entry.
type Response struct {
	Entry  *Entry // Status, Header, Tags, Group, Fresh and Usable
	Body   io.ReadCloser
	Length int64 // length of the body; negative is unknown
	Reuse  Reuse
}

// Fill configures a cache fill.
type Fill struct {
	// Generate requests the response. It is called once, with a context that ends with
	// the cache's Run and not with the context of any client.
	Generate    func(ctx context.Context) (*Response, error)
	Propagation Propagation
	// Durable makes all waiting requests wait until the entry is on disk.
	Durable bool
	// Since is the earliest acceptable start of the cache fill, by [Cache.Now]. The
	// request waits for a fill that started before, and then starts another. Zero
	// accepts any start.
	Since time.Time

	// Seen is the start time of the entry that the caller found and cannot use, or
	// [Unseen] if it found none: an entry that was stored between that lookup and
	// the cache fill is used. Zero means that the caller did not look.
	Seen time.Time

	// ID names the cache fill in the requests that it sends in turn; "" is no name.
	// Within is the ID of the cache fill that sent the request and waits for this
	// one; "" is none. IDs are secrets.
	ID, Within string

	// Client is the client that requested the entry. The clients of a tenant divide
	// the cache fills of the tenant, and their fills of a scope start in turn. "" is
	// no particular client.
	Client string

	// Group lists further entries that the same run fills. Each is filled after this
	// entry has been stored, one after the other, unless it has a flight already.
	Group []Member
}

// Unseen is the Seen of a [Fill] whose caller found no entry.
func Unseen() time.Time { return time.Unix(0, -1) }

// since is the earliest start time of an acceptable entry; zero means that no entry
// is acceptable.
func (m *Fill) since() time.Time {
	if !m.Seen.IsZero() && !m.Seen.Before(m.Since) {
		return m.Seen.Add(1)
	}
	return m.Since
}

// waitContext returns a context that ends when the request of ctx no longer wants the
// cache fill. For a durable entry it does not end: the requests for one may
// disconnect before it is stored.
func (m *Fill) waitContext(ctx context.Context) context.Context {
	if m.Durable {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// shareOwners are the owners of the shares that the cache fill counts against: its
// tenant, and its client within that share.
func (m *Fill) shareOwners(tenant string) []string {
	if m.Client == "" {
		return []string{tenant}
	}
	return []string{tenant, tenant + " " + m.Client}
}

// Member is an entry that is filled together with another.
type Member struct {
	Key      Key
	Generate func(ctx context.Context) (*Response, error) // see [Fill]
}

// Errors of a cache fill without an entry.
var (
	// ErrNotReusable means that the response is for its first client only: the other
	// requests start their own cache fills.
	ErrNotReusable = errors.New("the response is for its first client only")
	// ErrCycle means that the cache fill which sent the request would wait for
	// itself.
	ErrCycle = errors.New("the cache fill would wait for itself")
	// ErrStopped means that the cache has stopped.
	ErrStopped = &lateen.Error{Code: lateen.Unavailable, Reason: "cache_stopped", Message: "the platform is shutting down", Hint: "try again in a moment"}
	// ErrBusy means that the maximum number of requests waits for entries.
	ErrBusy = &lateen.Error{Code: lateen.Unavailable, Reason: "cache_busy", Message: "too many requests are waiting for cached pages", Hint: "try again in a moment"}
)
