package wasi

import (
	"sync"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/lateen-dev/lateen"
)

// memory is the memory of one module, which its instance bounds.
type memory struct {
	instance *instance
	buffers  []*buffer
	refused  bool // it wanted more
	full     bool // it wanted what others have
}

func (m *memory) size() int64 {
	var sum int64
	for _, b := range m.buffers {
		sum += int64(len(b.bytes))
	}
	return sum
}

// Allocate returns memory that is not there yet.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory {
	b := &buffer{memory: m}
	m.buffers = append(m.buffers, b)
	return b
}

// buffer is one memory of a module.
type buffer struct {
	memory *memory
	bytes  []byte
}

// Reallocate makes it longer; nil if it may not be.
func (b *buffer) Reallocate(size uint64) []byte {
	m := b.memory
	grown := int64(size) - int64(len(b.bytes))     //nolint:gosec // WebAssembly's memories are small
	if uint64(m.size()+grown) > m.instance.limit { //nolint:gosec // they are not negative
		m.refused = true
		return nil
	}
	if uint64(cap(b.bytes)) < size {
		most := min(max(size, uint64(cap(b.bytes))*5/4), max(size, m.instance.limit))
		if !m.instance.engine.room.take(m.instance.spec.Project, int64(most)-int64(cap(b.bytes))) { //nolint:gosec // as above
			m.full = true
			return nil
		}
		bytes := make([]byte, size, most)
		copy(bytes, b.bytes)
		b.bytes = bytes
	}
	b.bytes = b.bytes[:size]
	m.instance.grow(grown)
	return b.bytes
}

// Free gives it back.
func (b *buffer) Free() {
	i := b.memory.instance
	i.engine.room.take(i.spec.Project, -int64(cap(b.bytes)))
	i.grow(-int64(len(b.bytes)))
	b.bytes = nil
}

// free gives all of it back, whether or not its module could.
func (m *memory) free() {
	for _, b := range m.buffers {
		b.Free()
	}
}

// room is the memory of all modules together.
type room struct {
	all int64 // bytes

	mu    sync.Mutex // guards below
	taken int64
	has   map[lateen.ProjectID]int64 // without those that have none
}

// take takes so many bytes for a project, or gives them back where they are
// negative; false if there are not that many for it.
func (r *room) take(project lateen.ProjectID, bytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes > 0 && (r.taken+bytes > r.all || r.has[project]+bytes > r.all/2) {
		return false
	}
	if r.has == nil {
		r.has = map[lateen.ProjectID]int64{}
	}
	r.taken += bytes
	if r.has[project] += bytes; r.has[project] == 0 {
		delete(r.has, project)
	}
	return true
}
