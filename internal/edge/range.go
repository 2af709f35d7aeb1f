package edge

import (
	"strconv"
	"strings"
)

// span is a part of a file, in bytes.
type span struct{ start, length int64 }

// contentRange is the value of Content-Range for s of a file of size bytes.
func (s span) contentRange(size int64) string {
	b := make([]byte, 0, 48)
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, s.start, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, s.start+s.length-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, size, 10))
}

// rangeOutcome says what a Range header asks for.
type rangeOutcome int

const (
	rangeWhole   rangeOutcome = iota // everything: the header is malformed, or asks for several ranges
	rangePart                        // one span
	rangeOutside                     // nothing that the file has
)

// parseRange reads a Range header for a file of size bytes (RFC 9110 §14.1.2).
// A server may answer any Range with the whole file, and does so where several
// ranges are asked for: nothing but an attack wants many of one file.
func parseRange(values []string, size int64) (span, rangeOutcome) {
	if len(values) != 1 {
		return span{}, rangeWhole
	}
	unit, spec, ok := strings.Cut(values[0], "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(spec, ",") {
		return span{}, rangeWhole
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return span{}, rangeWhole
	}
	start, hasStart, ok1 := position(first)
	end, hasEnd, ok2 := position(last)
	switch {
	case !ok1 || !ok2 || !hasStart && !hasEnd || hasStart && hasEnd && end < start:
		return span{}, rangeWhole
	case !hasStart: // the last end bytes
		if end == 0 || size == 0 {
			return span{}, rangeOutside
		}
		end = min(end, size)
		return span{size - end, end}, rangePart
	case start >= size:
		return span{}, rangeOutside
	case !hasEnd || end >= size:
		end = size - 1
	}
	return span{start, end - start + 1}, rangePart
}

// position reads a byte position of digits alone; one that is absurdly large
// is as good as the largest there is.
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
