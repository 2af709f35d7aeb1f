// Package datacache connects functions with the data cache of their deployment, which
// holds values that user code computes: those of fetch, unstable_cache and 'use cache'
// of Next.js. A [Server] serves the channels of instances, whose words are untrusted; a
// [Remote] is the cache of a process whose cache is in another process.
package datacache

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/lateen-dev/lateen"
)

// Limits of a value. A value past one of them is not stored.
const (
	MaxValue = 2 << 20 // bytes
	MaxTags  = 128     // tags of a value
	MaxTag   = lateen.MaxTag
	MaxKey   = 128      // bytes
	MaxMeta  = 64 << 10 // bytes of the data that describe the value
)

// ErrUnavailable means that the cache cannot be reached.
var ErrUnavailable = errors.New("the data cache cannot be reached")

// Owner is the deployment whose values an instance reads and writes. It comes from the
// engine that started the instance, never from the instance.
type Owner struct {
	Project    lateen.ProjectID    `json:"project"`
	Deployment lateen.DeploymentID `json:"deployment"`
}

// Cache holds the values of deployments. All methods may be called concurrently.
type Cache interface {
	// Get returns the value of a key, as if it also had the tags soft.
	Get(ctx context.Context, o Owner, key string, soft []string) (Value, error)
	// Put stores a value, completely or not at all, and reports whether it did. It does
	// not store a value that was invalidated after the begin of its computation.
	Put(ctx context.Context, o Owner, key string, v Item) (bool, error)
	// Invalidate makes values and cached pages of the deployment stale. On return no
	// [Cache.Get] of any instance finds an expired one.
	Invalidate(ctx context.Context, o Owner, v Invalidation) error
}

// Invalidation makes the values and cached pages with one of Tags stale. They expire after
// Grace, never if it is negative.
type Invalidation struct {
	Tags  []string
	Grace time.Duration
	// ID names an invalidation of which the header of a response may carry a copy: the
	// later one has no effect, and so keeps values that were stored meanwhile. "" is no
	// name.
	ID string
}

// State says how a value may be used.
type State string

// The states of a value.
const (
	Miss  State = "miss"  // there is none
	Fresh State = "fresh" // by its tags: the reader knows its lifetime
	Stale State = "stale" // one of its tags was invalidated; it may be used while a new one is computed
)

// Value is the result of a read.
type Value struct {
	State State
	// Now is a reading of the cache's clock before the read, in Unix nanoseconds: a value
	// that the reader then computes counts as started at Now.
	Now  int64
	Meta string        // of [Item]
	Size int64         // bytes of Body
	Body io.ReadCloser // nil for a miss
}

// Item is a value to be stored.
type Item struct {
	Body    []byte
	Meta    string        // data of the writer for the reader
	Tags    []string      // by which it can be invalidated
	Started int64         // begin of the computation, in Unix nanoseconds by the clock of [Value]; 0 is unknown: now
	Usable  time.Duration // time for which it may be used; 0 is unlimited
}

// Discard is a cache without values, for training runs.
type Discard struct{}

// Get implements [Cache].
func (Discard) Get(context.Context, Owner, string, []string) (Value, error) {
	return Value{State: Miss}, nil
}

// Put implements [Cache].
func (Discard) Put(context.Context, Owner, string, Item) (bool, error) { return false, nil }

// Invalidate implements [Cache].
func (Discard) Invalidate(context.Context, Owner, Invalidation) error { return nil }
