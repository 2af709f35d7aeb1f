package wasi

import "github.com/tetratelabs/wazero/experimental"

// memory is the memory of one module, which its instance bounds.
type memory struct {
	instance *instance
	buffers  []*buffer
	refused  bool // it wanted more
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
		bytes := make([]byte, size, min(max(size, uint64(cap(b.bytes))*5/4), max(size, m.instance.limit)))
		copy(bytes, b.bytes)
		b.bytes = bytes
	}
	b.bytes = b.bytes[:size]
	m.instance.grow(grown)
	return b.bytes
}

// Free gives it back.
func (b *buffer) Free() {
	b.memory.instance.grow(-int64(len(b.bytes)))
	b.bytes = nil
}
