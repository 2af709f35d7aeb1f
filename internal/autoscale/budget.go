package autoscale

import "time"

// Budget is a token bucket: it bounds the rate of work that no request triggered.
// The zero value is full.
type Budget struct {
	spent float64 // tokens missing at the time at
	at    int64   // Unix nanoseconds
}

// Left returns the tokens that are left, for a bucket of size burst that fills at
// rate tokens per second.
func (b *Budget) Left(now time.Time, rate, burst float64) float64 {
	b.at = min(b.at, now.UnixNano()) // later only if the clock was set back
	passed := time.Duration(now.UnixNano() - b.at).Seconds()
	return burst - max(0, b.spent-passed*rate)
}

// Take takes a token, if one is left.
func (b *Budget) Take(now time.Time, rate, burst float64) bool {
	left := b.Left(now, rate, burst)
	if left < 1 {
		return false
	}
	b.spent, b.at = burst-left+1, now.UnixNano()
	return true
}
