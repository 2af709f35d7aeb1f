package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// clock orders cache fills and invalidations. It reads Unix nanoseconds while the
// host's clock advances, and counts on by one while that clock does not advance or
// is set back, across restarts too: every reading is above all earlier ones.
//
// The file at path holds a bound that no durable reading exceeds. The bound is
// written in advance by clockLease, so that few readings wait for a disk.
type clock struct {
	path string
	now  func() time.Time

	mu    sync.Mutex // guards the fields below
	last  int64      // the latest reading
	bound int64      // the bound in the file
}

// clockLease is the distance by which the written bound exceeds a durable reading.
// After a crash the clock may be ahead of the host's by this time.
const clockLease = 10 * time.Second

// openClock reads the clock's file. A missing or invalid file counts as 0.
func openClock(path string, now func() time.Time) (*clock, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	bound, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // 0 if it is not a number
	return &clock{path: path, now: now, last: bound, bound: bound}, nil
}

// tick returns a reading above all earlier ones.
func (c *clock) tick() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.now().UnixNano(), c.last+1)
	return c.last
}

// reserve ensures that readings after a restart are above at, which is about to
// become durable.
func (c *clock) reserve(at int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at <= c.bound {
		return nil
	}
	return c.writeLocked(max(at, c.last) + int64(clockLease))
}

// lowerBound lowers the bound to the last reading, after the last use of the clock.
func (c *clock) lowerBound() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bound <= c.last {
		return nil
	}
	return c.writeLocked(c.last)
}

func (c *clock) writeLocked(bound int64) error {
	if err := atomicfile.Write(c.path, []byte(strconv.FormatInt(bound, 10)+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the cache's clock: %w", err)
	}
	c.bound = bound
	return nil
}
