package local

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/guest"
)

func TestFootprintIsWhatWasTouched(t *testing.T) {
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
		t.Errorf("%d ranges of %d bytes are kept", len(f.ranges), f.written)
	}
}
