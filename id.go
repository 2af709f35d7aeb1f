package lateen

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
)

// Ids are typed and sortable by time. An id is a prefix, ten characters of time and
// sixteen random characters, in lower-case Crockford base 32.
type (
	TeamID       string // team_…
	UserID       string // usr_…
	TokenID      string // tok_…
	ProjectID    string // prj_…
	EnvID        string // env_…
	DeploymentID string // dpl_…
	AliasID      string // als_…
	InstanceID   string // ins_…
	RequestID    string // req_…
	InvitationID string // inv_…
	AuditID      string // aud_…
)

const base32 = "0123456789abcdefghjkmnpqrstvwxyz"

// NewID returns a new id of type T: its prefix, now and 80 random bits.
func NewID[T ~string](prefix string, now time.Time) T {
	var bits [16]byte                                                 // 48 bits of milliseconds, 80 random bits
	binary.BigEndian.PutUint64(bits[:8], uint64(now.UnixMilli())<<16) //nolint:gosec // times before 1970 do not occur
	_, _ = rand.Read(bits[6:])                                        // never fails
	out := make([]byte, 0, len(prefix)+26)
	out = append(out, prefix...)
	hi, lo := binary.BigEndian.Uint64(bits[:8]), binary.BigEndian.Uint64(bits[8:])
	for shift := 125; shift >= 0; shift -= 5 { // 128 bits in 26 digits, the first of 3 bits
		out = append(out, base32[window(hi, lo, shift)])
	}
	return T(out)
}

// ParseRequestID returns the id in text: the part after the last colon, as in the
// header x-vercel-id (region::req_…), or all of text.
func ParseRequestID(text string) RequestID {
	text = strings.TrimSpace(text)
	return RequestID(text[strings.LastIndexByte(text, ':')+1:])
}

// window returns the five bits of hi:lo that start shift bits above the lowest.
func window(hi, lo uint64, shift int) uint64 {
	switch {
	case shift >= 64:
		return hi >> (shift - 64) & 31
	case shift > 59:
		return (lo>>shift | hi<<(64-shift)) & 31
	default:
		return lo >> shift & 31
	}
}

// NewHash returns n random characters of [0-9a-z], as in the host of a deployment.
func NewHash(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = base32[b[i]&31]
	}
	return string(b)
}
