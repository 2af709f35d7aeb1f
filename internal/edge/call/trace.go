package call

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
)

// Trace is the place of a request in a trace (W3C Trace Context).
type Trace struct {
	ID     string
	Parent string // span of the client; "" if the client names no trace
	Span   string // span of the request itself
}

// TraceOf returns the trace of a request with header h (W3C Trace Context, level 2,
// §3.2): the one that the client names, else a new one.
func TraceOf(h http.Header) (t Trace) {
	var id [16]byte
	if trace, parent, ok := parseTraceparent(h.Get("Traceparent")); ok {
		t.ID, t.Parent = trace, parent
	} else {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64()|1) // an ID of zeros is invalid
		t.ID = hex.EncodeToString(id[:])
	}
	binary.BigEndian.PutUint64(id[:8], rand.Uint64()|1)
	t.Span = hex.EncodeToString(id[:8])
	return t
}

// parseTraceparent returns the IDs in the value of a traceparent header. The value of
// a later version may continue after another hyphen.
func parseTraceparent(v string) (trace, parent string, ok bool) {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(v) < length || v[2] != '-' || v[35] != '-' || v[52] != '-' || v[:2] == "ff" ||
		len(v) > length && (v[:2] == "00" || v[length] != '-') {
		return "", "", false
	}
	trace, parent = v[3:35], v[36:52]
	if !isLowerHex(v[:2]) || !named(trace) || !named(parent) || !isLowerHex(v[53:length]) {
		return "", "", false
	}
	return trace, parent, true
}

// named reports whether s is hexadecimal and not all zeros.
func named(s string) bool {
	for _, c := range []byte(s) {
		if c != '0' {
			return isLowerHex(s)
		}
	}
	return false
}

func isLowerHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// traceparent returns the traceparent for a function or an origin, with this request
// as the parent. Every request is sampled; the collector of the traces may drop some.
func (t *Trace) traceparent() string {
	return "00-" + t.ID + "-" + t.Span + "-01"
}
