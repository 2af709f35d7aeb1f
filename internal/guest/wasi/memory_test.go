package wasi

import "testing"

// TestModulesLeaveRoomToTheirProcess asks a budget for all of its memory.
func TestModulesLeaveRoomToTheirProcess(t *testing.T) {
	const limit = 256 << 20
	b := newBudget(limit)
	if most := limit - resident(); b.limit <= 0 || b.limit > most-headroom/2 { // the process may shrink meanwhile
		t.Errorf("modules may take %d of the %d bytes that are left", b.limit, most)
	}
	m := &memory{budget: b}
	memory := m.Allocate(0, limit)
	if memory.Reallocate(uint64(b.limit)) == nil || m.refused {
		t.Error("the memory that modules may take is refused")
	}
	if m.Allocate(0, limit).Reallocate(pageSize) != nil || !m.refused {
		t.Error("more memory than modules may take is given")
	}
	m.free()
	if b.taken != 0 {
		t.Errorf("%d bytes are not given back", b.taken)
	}
}
