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

// clock orders what happens in a cache: births of entries and invalidations. It
// reads Unix nanoseconds as long as the host's clock goes forward, and counts on
// by one where that stands still or is set back, across restarts, too: every
// reading is above all earlier ones.
//
// The file at path holds a bound that no durable reading exceeds. It is written
// ahead by clockLease, so that few readings wait for a disk.
type clock struct {
	path string
	now  func() time.Time

	mu    sync.Mutex // guards below
	last  int64      // the latest reading
	bound int64      // as the file has it
}

// clockLease is how far ahead of a durable reading the bound is written. After a
// crash the clock may be ahead of the host's by as much.
const clockLease = 10 * time.Second

// openClock reads the clock's file; there need not be one. A file that is no
// clock's is the same as none.
func openClock(path string, now func() time.Time) (*clock, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	bound, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // 0 if it is no number
	return &clock{path: path, now: now, last: bound, bound: bound}, nil
}

// tick returns a reading above all earlier ones.
func (c *clock) tick() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.now().UnixNano(), c.last+1)
	return c.last
}

// reserve returns once readings after a restart are certain to be above at,
// which is about to be durable.
func (c *clock) reserve(at int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at <= c.bound {
		return nil
	}
	return c.writeLocked(max(at, c.last) + int64(clockLease))
}

// settle gives back what is left of the lease, when nothing more is read.
func (c *clock) settle() error {
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
