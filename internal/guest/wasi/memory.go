package wasi

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// budget bounds the memory of all modules that run in this process, so that a
// module is refused more memory before the kernel ends the process for it.
type budget struct {
	limit int64 // bytes

	mu    sync.Mutex // guards below
	taken int64
}

// headroom is how many bytes the process itself may grow by while it answers
// requests, which modules leave it, or an eighth of all if that is less.
const headroom = 16 << 20

// newBudget returns what a process that may use limit bytes has left for
// modules; limit 0 is no bound.
func newBudget(limit int64) *budget {
	if limit == 0 {
		return &budget{limit: math.MaxInt64}
	}
	if resident() > limit/4 { // what compiling has left goes first
		debug.FreeOSMemory()
	}
	return &budget{limit: max(0, limit-resident()-min(headroom, limit/8))}
}

// giveBackAfter is how long a process that a request waits for keeps the memory
// that loading took.
const giveBackAfter = time.Second

// giveBack returns memory that loading took to the kernel: at once where no
// request waits for the process, which takes some milliseconds.
func giveBack(now bool) {
	if now {
		debug.FreeOSMemory()
		return
	}
	time.AfterFunc(giveBackAfter, debug.FreeOSMemory)
}

// resident is how many bytes this process holds.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased) //nolint:gosec // far from the bounds
}

// take takes so many bytes, or gives them back where they are negative; false if
// there are not so many left.
func (b *budget) take(bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes > 0 && b.taken+bytes > b.limit {
		return false
	}
	b.taken += bytes
	return true
}

// memory is the memory of one module that runs.
type memory struct {
	budget  *budget
	buffers []*buffer
	refused bool // the module asked for more than there was
}

// Allocate returns memory that may grow to most bytes.
func (m *memory) Allocate(_, most uint64) experimental.LinearMemory {
	b := &buffer{memory: m, most: min(most, uint64(m.budget.limit))} //nolint:gosec // a limit is not negative
	m.buffers = append(m.buffers, b)
	return b
}

// free gives back what the module, which has ended, has not.
func (m *memory) free() {
	for _, b := range m.buffers {
		b.Free()
	}
}

// buffer is one memory of a module: a reserved range of addresses, of which the
// first bytes can be accessed.
type buffer struct {
	memory *memory
	most   uint64
	room   []byte // the range
	size   uint64 // bytes that can be accessed
}

// Reallocate makes the memory longer; nil if there is no more.
func (b *buffer) Reallocate(size uint64) []byte {
	if size > b.most || !b.memory.budget.take(int64(size)-int64(b.size)) { //nolint:gosec // most is no more than a limit
		b.memory.refused = true
		return nil
	}
	if err := b.extend(size); err != nil {
		b.memory.budget.take(int64(b.size) - int64(size)) //nolint:gosec // as above
		b.memory.refused = true
		return nil
	}
	b.size = size
	return b.room[:size]
}

// extend makes the first size bytes accessible.
func (b *buffer) extend(size uint64) (err error) {
	if b.room == nil && b.most > 0 {
		if b.room, err = unix.Mmap(-1, 0, int(b.most), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil { //nolint:gosec // as above
			return err
		}
	}
	if size == b.size {
		return nil
	}
	return unix.Mprotect(b.room[:size], unix.PROT_READ|unix.PROT_WRITE)
}

// Free gives the memory back.
func (b *buffer) Free() {
	if b.room != nil {
		_ = unix.Munmap(b.room) // fails only for what is no mapping
	}
	b.memory.budget.take(-int64(b.size)) //nolint:gosec // as above
	b.room, b.size = nil, 0
}

var _ experimental.MemoryAllocator = (*memory)(nil)
