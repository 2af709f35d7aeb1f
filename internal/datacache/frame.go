package datacache

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"
)

// A frame is the length of its head and that of its body, of 32 bits each in network
// order, the head in JSON, and the body. An instance sends requests, the host replies.
const (
	prefix  = 8
	maxHead = 256 << 10
)

// The operations.
const (
	opGet        = "get"
	opPut        = "put"
	opInvalidate = "invalidate"
)

// request is the head of a request; the body is the value to be stored.
type request struct {
	ID     uint64   `json:"id"`
	Op     string   `json:"op"`
	Key    string   `json:"key,omitempty"`
	Tags   []string `json:"tags,omitempty"` // soft tags of a read
	Meta   string   `json:"meta,omitempty"`
	Born   int64    `json:"born,string,omitempty"`
	Usable *float64 `json:"usable,omitempty"` // seconds
	Grace  *float64 `json:"grace,omitempty"`  // seconds; nil is unlimited
	Owner  *Owner   `json:"owner,omitempty"`  // only of a [Remote]
}

// The statuses of replies, besides the states of values.
const (
	statusDone        = "done"        // stored, or invalidated
	statusRefused     = "refused"     // not stored
	statusUnavailable = "unavailable" // the cache failed
)

// reply is the head of a reply; the body is the value.
type reply struct {
	ID     uint64 `json:"id"`
	Status string `json:"status"`
	Now    int64  `json:"now,string,omitempty"`
	Meta   string `json:"meta,omitempty"`
}

var errProtocol = errors.New("the data channel carries an invalid frame")

// readHead reads the head of a frame into head and returns the length of the body,
// which follows.
func readHead(r io.Reader, head any) (body int64, err error) {
	var lengths [prefix]byte
	if _, err := io.ReadFull(r, lengths[:]); err != nil {
		return 0, err
	}
	n, size := binary.BigEndian.Uint32(lengths[:4]), binary.BigEndian.Uint32(lengths[4:])
	if n > maxHead || size > MaxValue {
		return 0, errProtocol
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return 0, err
	}
	if err := json.Unmarshal(text, head); err != nil {
		return 0, fmt.Errorf("%w: %w", errProtocol, err)
	}
	return int64(size), nil
}

// encodeHead returns the begin of a frame: all but the body, which has size bytes.
func encodeHead(head any, size int64) ([]byte, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	if len(text) > maxHead || size > MaxValue {
		return nil, errProtocol
	}
	b := make([]byte, prefix, prefix+len(text))
	binary.BigEndian.PutUint32(b, uint32(len(text))) //nolint:gosec // at most maxHead
	binary.BigEndian.PutUint32(b[4:], uint32(size))  //nolint:gosec // at most MaxValue
	return append(b, text...), nil
}

// storable reports whether the value of a request is within the limits.
func (r *request) storable() bool {
	if r.Key == "" || len(r.Key) > MaxKey || len(r.Tags) > MaxTags || len(r.Meta) > MaxMeta {
		return false
	}
	for _, tag := range r.Tags {
		if utf8.RuneCountInString(tag) > MaxTag {
			return false
		}
	}
	return true
}

// usable is the lifetime of the value of a request; false if it has none.
func (r *request) usable() (time.Duration, bool) {
	if r.Usable == nil {
		return 0, true
	}
	return durationOf(*r.Usable), *r.Usable > 0
}

// grace is the grace of an invalidation, negative for unlimited.
func (r *request) grace() time.Duration {
	if r.Grace == nil {
		return -1
	}
	return durationOf(*r.Grace)
}

// durationOf returns a number of seconds, at least 0 and at most a hundred years.
func durationOf(seconds float64) time.Duration {
	const most = 100 * 365 * 24 * time.Hour
	switch {
	case math.IsNaN(seconds) || seconds <= 0:
		return 0
	case seconds >= most.Seconds():
		return most
	}
	return time.Duration(seconds * float64(time.Second))
}

// secondsOf is the inverse of [durationOf]; nil for a negative duration.
func secondsOf(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}
