package template

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/guest"
)

func TestFootprintIsTheTouchedMemory(t *testing.T) {
	size := uint64(os.Getpagesize())
	var f footprint
	for _, page := range []struct {
		at      uint64
		written bool
	}{{0, true}, {1, true}, {2, false}, {3, false}, {5, false}, {6, true}} {
		f.add(guest.Range{From: page.at * size, Bytes: size, Written: page.written})
	}
	want := []guest.Range{{From: 0, Bytes: 2 * size, Written: true}, {From: 2 * size, Bytes: 2 * size}, {From: 5 * size, Bytes: size}, {From: 6 * size, Bytes: size, Written: true}}
	if diff := cmp.Diff(want, f.ranges); diff != "" {
		t.Error(diff)
	}
	f = footprint{}
	for at := range uint64(2 * maxFootprint) {
		f.add(guest.Range{From: 2 * at * size, Bytes: size, Written: true})
	}
	if len(f.ranges) != maxFootprint || f.written > 2*maxWritten {
		t.Errorf("%d ranges of %d bytes recorded", len(f.ranges), f.written)
	}
}

// TestTheFootprintOfAHugeAddressSpaceIsAnError: mapping 64 TiB costs a function
// nothing, but inspecting all of its pages takes minutes of CPU time.
func TestTheFootprintOfAHugeAddressSpaceIsAnError(t *testing.T) {
	mapped, err := unix.MmapPtr(-1, 0, nil, 64<<40, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.MunmapPtr(mapped, 64<<40); err != nil {
			t.Error(err)
		}
	}()
	if ranges, err := footprintOf(os.Getpid()); err == nil {
		t.Errorf("got %d ranges, want an error", len(ranges))
	}
}
