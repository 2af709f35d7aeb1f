// Package lateen holds the domain types that all packages of the platform share,
// with their validation, the error type, ids and context values. It imports the
// standard library only, so that every package may import it.
//
// JSON follows the REST API of Vercel where the vercel CLI reads it: times are Unix
// milliseconds, absent optional fields are omitted.
package lateen

import (
	"encoding/json"
	"strconv"
	"time"
)

// Millis is a time in Unix milliseconds, the unit of every time in JSON. The zero
// value means never.
type Millis int64 //nolint:recvcheck // only decoding writes to it

// MillisOf returns t in milliseconds; the zero time is 0.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time returns m in UTC; 0 is the zero time.
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
