// Package lateen holds the nouns of the platform: the types every part shares,
// their validation, the one error type, ids and context values. It imports
// nothing but the standard library, so that any part may speak it.
//
// Wire JSON follows the REST API of the vercel CLI where that CLI reads it:
// times are Unix milliseconds, absent optional fields are omitted.
package lateen

import (
	"encoding/json"
	"strconv"
	"time"
)

// Millis is a moment as Unix milliseconds, the unit of every wire time. The
// zero value means never.
type Millis int64 //nolint:recvcheck // only decoding writes to it

// MillisOf returns t in milliseconds; the zero time is 0.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time returns the moment in UTC; 0 is the zero time.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// MarshalJSON writes a bare number.
func (m Millis) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(m), 10), nil }

// UnmarshalJSON accepts a number, whole or not, or null.
func (m *Millis) UnmarshalJSON(b []byte) error {
	var f *float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*m = 0
	if f != nil {
		*m = Millis(*f)
	}
	return nil
}
