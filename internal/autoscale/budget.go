package autoscale

import "time"

// Budget bounds how often something is done that nobody asked for: a bucket of
// tokens that fills at a rate. The zero value is full.
type Budget struct {
	spent float64 // tokens missing, as of at
	at    int64   // Unix nanoseconds
}

// Left returns how many tokens there are of burst, which fill at a rate per second.
func (b *Budget) Left(now time.Time, rate, burst float64) float64 {
	passed := time.Duration(max(0, now.UnixNano()-b.at)).Seconds()
	return burst - max(0, b.spent-passed*rate)
}

// Take takes a token, if there is one.
func (b *Budget) Take(now time.Time, rate, burst float64) bool {
	left := b.Left(now, rate, burst)
	if left < 1 {
		return false
	}
	b.spent, b.at = burst-left+1, now.UnixNano()
	return true
}
