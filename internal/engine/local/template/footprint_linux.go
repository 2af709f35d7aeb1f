package template

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	maxFootprint = 4096     // ranges
	maxWritten   = 32 << 20 // bytes of them
	maxMapped    = 16 << 30 // bytes of mappings to inspect: address space costs a process nothing
)

// Flags of an entry of /proc/PID/pagemap.
const (
	pagePresent   = 1 << 63
	pageOfFile    = 1 << 61 // or a page of shared memory
	pageExclusive = 1 << 56
)

// footprintOf returns the memory that a forked process has used since the fork: the
// private pages that it has written to, and the pages of files, which a fork does
// not copy into the page table. It inherited all other pages.
func footprintOf(pid int) ([]guest.Range, error) {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, fmt.Errorf("read the memory footprint: %w", err)
	}
	defer maps.Close()
	pages, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		return nil, fmt.Errorf("read the memory footprint: %w", err)
	}
	defer pages.Close()
	var f footprint
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to uint64
		var rights string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &rights); err != nil {
			return nil, fmt.Errorf("read the memory footprint from %q: %w", lines.Text(), err)
		}
		if rights[0] != 'r' || strings.HasSuffix(lines.Text(), "]") && strings.Contains(lines.Text(), "[v") { // the kernel's own
			continue
		}
		if f.mapped += to - from; f.mapped > maxMapped {
			return nil, fmt.Errorf("read the memory footprint: the process maps more than %d GiB", maxMapped>>30)
		}
		if err := f.walk(pages, from, to, rights[1] == 'w' && rights[3] == 'p'); err != nil {
			return nil, fmt.Errorf("read the memory footprint: %w", err)
		}
	}
	return f.ranges, nil
}

// footprint accumulates the result of footprintOf.
type footprint struct {
	ranges  []guest.Range
	written uint64 // bytes
	mapped  uint64 // readable bytes of mappings
}

// walk adds the used pages of a mapping.
func (f *footprint) walk(pages io.ReaderAt, from, to uint64, private bool) error {
	size := uint64(os.Getpagesize()) //nolint:gosec // a power of two
	var buffer [8 << 10]byte
	for at := from; at < to; {
		part := buffer[:min((to-at)/size*8, uint64(len(buffer)))]
		if _, err := pages.ReadAt(part, int64(at/size*8)); err != nil { //nolint:gosec // below 2^47
			return err
		}
		for ; len(part) > 0; part, at = part[8:], at+size {
			switch entry := binary.NativeEndian.Uint64(part); {
			case entry&pagePresent == 0:
			case private && entry&pageOfFile == 0 && entry&pageExclusive != 0:
				f.add(guest.Range{From: at, Bytes: size, Written: true})
			case entry&pageOfFile != 0:
				f.add(guest.Range{From: at, Bytes: size})
			}
		}
	}
	return nil
}

// add adds a page, up to the limits.
func (f *footprint) add(r guest.Range) {
	if r.Written {
		if f.written += r.Bytes; f.written > maxWritten {
			return
		}
	}
	if n := len(f.ranges); n > 0 && f.ranges[n-1].Written == r.Written && f.ranges[n-1].From+f.ranges[n-1].Bytes == r.From {
		f.ranges[n-1].Bytes += r.Bytes
	} else if n < maxFootprint {
		f.ranges = append(f.ranges, r)
	}
}
