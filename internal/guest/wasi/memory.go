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

// budget bounds the memory of all modules that run in this process, so that a module is
// refused more memory before the kernel kills the process at its limit.
type budget struct {
	limit int64 // bytes

	mu    sync.Mutex // guards the fields below
	taken int64
}

// headroom is the memory in bytes that modules leave for the growth of the process
// itself while it answers requests; at most an eighth of the limit.
const headroom = 16 << 20

// newBudget returns the budget for modules in a process with a limit in bytes; limit 0
// is unlimited.
func newBudget(limit int64) *budget {
	if limit == 0 {
		return &budget{limit: math.MaxInt64}
	}
	if resident() > limit/4 { // garbage of the compiler is freed first
		debug.FreeOSMemory()
	}
	return &budget{limit: max(0, limit-resident()-min(headroom, limit/8))}
}

// freeMemoryAfter is the time after which a process for which a request waits frees the
// memory of loading.
const freeMemoryAfter = time.Second

// freeMemory returns the memory of loading to the kernel: with now, at once, which takes
// some milliseconds.
func freeMemory(now bool) {
	if now {
		debug.FreeOSMemory()
		return
	}
	time.AfterFunc(freeMemoryAfter, debug.FreeOSMemory)
}

// resident returns the resident memory of this process in bytes.
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
	return int64(m.Sys - m.HeapReleased) //nolint:gosec // far below the maximum of int64
}

// take takes bytes from the budget, or returns them if bytes is negative; false if the
// budget has fewer.
func (b *budget) take(bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes > 0 && b.taken+bytes > b.limit {
		return false
	}
	b.taken += bytes
	return true
}

// memory is the memory of one running module.
type memory struct {
	budget  *budget
	buffers []*buffer
	refused bool // the module asked for more than the budget had
}

// Allocate returns a memory that may grow to maximum bytes.
func (m *memory) Allocate(_, maximum uint64) experimental.LinearMemory {
	b := &buffer{memory: m, maximum: min(maximum, uint64(m.budget.limit))} //nolint:gosec // a limit is not negative
	m.buffers = append(m.buffers, b)
	return b
}

// free returns the memory that the module still had at its end.
func (m *memory) free() {
	for _, b := range m.buffers {
		b.Free()
	}
}

// buffer is one memory of a module: a reserved range of addresses, of which the first
// bytes are accessible.
type buffer struct {
	memory   *memory
	maximum  uint64
	reserved []byte // reserved range of addresses
	size     uint64 // accessible bytes
}

// Reallocate makes the memory larger; nil if it cannot.
func (b *buffer) Reallocate(size uint64) []byte {
	if size > b.maximum || !b.memory.budget.take(int64(size)-int64(b.size)) { //nolint:gosec // maximum is at most a limit
		b.memory.refused = true
		return nil
	}
	if err := b.extend(size); err != nil {
		b.memory.budget.take(int64(b.size) - int64(size)) //nolint:gosec // as above
		b.memory.refused = true
		return nil
	}
	b.size = size
	return b.reserved[:size]
}

// extend makes the first size bytes accessible.
func (b *buffer) extend(size uint64) (err error) {
	if b.reserved == nil && b.maximum > 0 {
		if b.reserved, err = unix.Mmap(-1, 0, int(b.maximum), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil { //nolint:gosec // as above
			return err
		}
	}
	if size == b.size {
		return nil
	}
	return unix.Mprotect(b.reserved[:size], unix.PROT_READ|unix.PROT_WRITE)
}

// Free returns the memory to the kernel and to the budget.
func (b *buffer) Free() {
	if b.reserved != nil {
		_ = unix.Munmap(b.reserved) // fails only for addresses without a mapping
	}
	b.memory.budget.take(-int64(b.size)) //nolint:gosec // as above
	b.reserved, b.size = nil, 0
}

var _ experimental.MemoryAllocator = (*memory)(nil)
