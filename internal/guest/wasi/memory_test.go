package wasi

import "testing"

// TestModulesLeaveMemoryToTheirProcess asks a budget for all of its memory.
func TestModulesLeaveMemoryToTheirProcess(t *testing.T) {
	const limit = 256 << 20
	b := newBudget(limit)
	if maximum := limit - resident(); b.limit <= 0 || b.limit > maximum-headroom/2 { // the process may shrink meanwhile
		t.Errorf("modules may take %d of the %d bytes that are left", b.limit, maximum)
	}
	m := &memory{budget: b}
	memory := m.Allocate(0, limit)
	if memory.Reallocate(uint64(b.limit)) == nil || m.refused {
		t.Error("the budget refuses memory below its limit")
	}
	if m.Allocate(0, limit).Reallocate(pageSize) != nil || !m.refused {
		t.Error("the budget gives more memory than its limit")
	}
	m.free()
	if b.taken != 0 {
		t.Errorf("%d bytes are not given back", b.taken)
	}
}
