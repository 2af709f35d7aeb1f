package cache

import (
	"sync/atomic"
	"time"
)

// item is a file of the index. A replacement is another item.
type item struct {
	size    int64        // set before the item is in the index
	started int64        // Started of the entry, Unix nanoseconds; 0 if unknown
	access  atomic.Int64 // last use, Unix nanoseconds
	saved   atomic.Int64 // access as saved in the file's modification time
}

func newItem(size, started int64, access time.Time) *item {
	it := &item{size: size, started: started}
	it.access.Store(access.UnixNano())
	it.saved.Store(access.UnixNano())
	return it
}

func (it *item) touch(now time.Time) {
	if it != nil {
		it.access.Store(now.UnixNano())
	}
}
