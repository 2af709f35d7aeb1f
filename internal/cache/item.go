package cache

import (
	"sync/atomic"
	"time"
)

// item is a file of the index. A replacement is another item.
type item struct {
	size   int64        // set before the item is in the index
	born   int64        // Started of the entry, Unix nanoseconds; 0 if unknown
	access atomic.Int64 // last use, Unix nanoseconds
	saved  atomic.Int64 // access as saved in the file's modification time
}

func newItem(size, born int64, access time.Time) *item {
	it := &item{size: size, born: born}
	it.access.Store(access.UnixNano())
	it.saved.Store(access.UnixNano())
	return it
}

func (it *item) touch(now time.Time) {
	if it != nil {
		it.access.Store(now.UnixNano())
	}
}
