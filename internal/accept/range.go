package accept

import (
	"strconv"
	"strings"
)

// Part is a part of a file, in bytes.
type Part struct{ Start, Length int64 }

// ContentRange is the value of Content-Range for p of a file of size bytes
// (RFC 9110 §14.4).
func (p Part) ContentRange(size int64) string {
	b := make([]byte, 0, 48)
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, p.Start, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, p.Start+p.Length-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, size, 10))
}

// Extent is the extent of a file that a Range header requests.
type Extent int

// The extents.
const (
	Whole   Extent = iota // the whole file: the header is malformed or requests several ranges
	Partial               // one part of the file
	Outside               // a part outside of the file
)

// Range reads a Range header for a file of size bytes (RFC 9110 §14.1.2). A server may
// answer any Range with the whole file. Range returns Whole for several ranges, because
// only attacks request many ranges of one file.
func Range(values []string, size int64) (Part, Extent) {
	if len(values) != 1 {
		return Part{}, Whole
	}
	unit, spec, ok := strings.Cut(values[0], "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(spec, ",") {
		return Part{}, Whole
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return Part{}, Whole
	}
	start, hasStart, ok1 := position(first)
	end, hasEnd, ok2 := position(last)
	switch {
	case !ok1 || !ok2 || !hasStart && !hasEnd || hasStart && hasEnd && end < start:
		return Part{}, Whole
	case !hasStart: // the last end bytes
		if end == 0 || size == 0 {
			return Part{}, Outside
		}
		end = min(end, size)
		return Part{size - end, end}, Partial
	case start >= size:
		return Part{}, Outside
	case !hasEnd || end >= size:
		end = size - 1
	}
	return Part{start, end - start + 1}, Partial
}

// position reads a byte position, which has only digits. One that overflows counts as
// the largest int64.
func position(s string) (n int64, present, ok bool) {
	if s = strings.TrimSpace(s); s == "" {
		return 0, false, true
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true, true
	}
	return n, true, true
}
