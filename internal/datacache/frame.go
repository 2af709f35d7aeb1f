package datacache

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
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
	ID      uint64   `json:"id"`
	Op      string   `json:"op"`
	Key     string   `json:"key,omitempty"`
	Tags    []string `json:"tags,omitempty"` // soft tags of a read
	Meta    string   `json:"meta,omitempty"`
	Started int64    `json:"born,string,omitempty"`
	Usable  *float64 `json:"usable,omitempty"` // seconds
	Grace   *float64 `json:"grace,omitempty"`  // seconds; nil is unlimited
	Name    string   `json:"name,omitempty"`   // of an invalidation
	Owner   *Owner   `json:"owner,omitempty"`  // only of a [Remote]
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
	n, body, err := readLengths(r)
	if err != nil {
		return 0, err
	}
	return body, decodeHead(r, n, head)
}

// readLengths waits for a frame and returns the lengths of its head and of its body.
func readLengths(r io.Reader) (head, body int64, err error) {
	var lengths [prefix]byte
	if _, err := io.ReadFull(r, lengths[:]); err != nil {
		return 0, 0, err
	}
	n, size := binary.BigEndian.Uint32(lengths[:4]), binary.BigEndian.Uint32(lengths[4:])
	if n > maxHead || size > MaxValue {
		return 0, 0, errProtocol
	}
	return int64(n), int64(size), nil
}

func decodeHead(r io.Reader, n int64, head any) error {
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	if err := json.Unmarshal(text, head); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	return nil
}

// encodeHead returns the begin of a frame: all but the body, which has size bytes.
func encodeHead(head any, size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, prefix))
	text := json.NewEncoder(&b)
	text.SetEscapeHTML(false) // a reply is not longer than the request that stored its value
	if err := text.Encode(head); err != nil {
		return nil, err
	}
	n := b.Len() - prefix
	if n > maxHead || size > MaxValue {
		return nil, errProtocol
	}
	binary.BigEndian.PutUint32(b.Bytes(), uint32(n))        //nolint:gosec // at most maxHead
	binary.BigEndian.PutUint32(b.Bytes()[4:], uint32(size)) //nolint:gosec // at most MaxValue
	return b.Bytes(), nil
}

// storable reports whether the value of a request is within the limits.
func (r *request) storable() bool {
	if r.Key == "" || len(r.Key) > MaxKey || elements(r.Tags) > MaxTags || len(r.Meta) > MaxMeta {
		return false
	}
	for _, tag := range r.Tags {
		if utf8.RuneCountInString(tag) > MaxTag {
			return false
		}
	}
	return true
}

// elements is the number of tags in a list: the cache divides each one at its commas.
func elements(tags []string) int {
	n := len(tags)
	for _, tag := range tags {
		n += strings.Count(tag, ",")
	}
	return n
}

// limited returns the tags at the begin of a list that have at most n elements.
func limited(tags []string, n int) []string {
	for i := range tags {
		if n -= elements(tags[i : i+1]); n < 0 {
			return tags[:i]
		}
	}
	return tags
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
