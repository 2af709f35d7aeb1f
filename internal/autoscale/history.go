package autoscale

import (
	"math"
	"math/bits"
	"time"
)

// A pause falls into one of four bins per octave, from about a second (2^30 ns) to
// 39 hours (2^47 ns). A shorter pause is too short to stop an instance, and after a
// longer one there is no prediction.
const (
	firstBit = 30
	octaves  = 17
	quarters = 4 // bins per octave
	bins     = octaves * quarters

	shortest = time.Duration(1) << firstBit
	horizon  = time.Duration(1) << (firstBit + octaves)
)

// Counts are fixed-point numbers that decay: each new pause takes a 32nd off the
// previous count, so a bin remembers about the last 32 pauses that reached it.
const (
	one      = 256
	fadeBits = 5
)

const usesHalfLife = time.Hour

// History holds statistics of a function's arrivals, in less than half a KiB. The
// zero value is empty. It is not safe for concurrent use. If a function has several
// instances, the second may have a history of its own: of the arrivals that needed a
// second instance.
//
// It is a life table: for each bin, the number of pauses that reached it, the number
// that ended in it, and the recent extremes of their position in it. A short pause
// only decays the counts of bins up to its own, so a busy day does not erase the
// record of quiet nights.
type History struct {
	last int64   // Unix nanoseconds; 0 is never
	uses float64 // decaying count, as of last

	reached   [bins]uint16 // pauses that lasted to the bin's start
	ended     [bins]uint16 // pauses that ended in the bin; never more than reached
	low, high [bins]uint8  // recent extremes of their positions in the bin, in 256ths
}

// disorder bounds the time by which concurrent arrivals may be recorded out of order.
// A larger step back means that the host's clock was set back.
const disorder = time.Minute

// Observe records the arrival of a request. Arrivals come in order; an arrival before
// the last one is only counted, and replaces the last one if the clock was set back.
func (h *History) Observe(at time.Time) {
	now := at.UnixNano()
	pause := time.Duration(now - h.last)
	if h.last != 0 && pause < 0 {
		h.uses++
		if pause < -disorder {
			h.last = now
		}
		return
	}
	h.uses = h.faded(pause) + 1
	if h.last != 0 && pause >= shortest {
		h.learn(pause)
	}
	h.last = now
}

// Last returns the time of the last arrival; zero is never.
func (h *History) Last() time.Time {
	if h.last == 0 {
		return time.Time{}
	}
	return time.Unix(0, h.last)
}

// Uses returns the recent number of arrivals: a count that halves every hour.
func (h *History) Uses(now time.Time) float64 {
	if h.last == 0 {
		return 0
	}
	return h.faded(max(0, time.Duration(now.UnixNano()-h.last)))
}

func (h *History) faded(pause time.Duration) float64 {
	if h.uses == 0 {
		return 0
	}
	return h.uses * math.Exp2(-float64(pause)/float64(usesHalfLife))
}

// learn adds a pause to the table.
func (h *History) learn(pause time.Duration) {
	k, at := bins, uint8(0) // beyond the last bin
	if pause < horizon {
		k, at = locate(pause)
	}
	for b := range min(k+1, bins) {
		h.reached[b] = fade(h.reached[b]) + one
		h.ended[b] = fade(h.ended[b])
	}
	if k == bins {
		return
	}
	if h.ended[k] < one/2 { // the old extremes have decayed
		h.low[k], h.high[k] = at, at
	}
	h.low[k] = min(at, h.low[k]+drift(h.low[k], at))
	h.high[k] = max(at, h.high[k]-drift(at, h.high[k]))
	h.ended[k] += one
}

// fade takes a 32nd off, rounded up so that the smallest count becomes zero, too.
func fade(count uint16) uint16 {
	return count - (count+1<<fadeBits-1)>>fadeBits
}

// drift returns the step by which an extreme moves towards a pause that did not
// reach it: an eighth of the distance.
func drift(from, to uint8) uint8 {
	if from >= to {
		return 0
	}
	return (to - from) / 8
}

// locate returns the bin of a pause and the position in it, in 256ths. They are bits
// of the number: the highest set bit is the octave, the next two the quarter, the
// eight after them the position.
func locate(pause time.Duration) (bin int, at uint8) {
	top := bits.Len64(uint64(pause)) - 1
	return (top-firstBit)*quarters + int(pause>>(top-2)&3), uint8(pause >> (top - 10) & 255)
}

// bounds returns the start and the width of a bin, in seconds.
//
//	bin  0:    1.07 s,   0.27 s
//	bin 36:  550 s,    137 s      contains 10 minutes
//	bin 46: 3299 s,    550 s      contains an hour
//	bin 64: 70369 s, 17592 s      contains a day
func bounds(bin int) (start, width float64) {
	octave := time.Duration(1) << (firstBit + bin/quarters)
	width = (octave / quarters).Seconds()
	return octave.Seconds() + float64(bin%quarters)*width, width
}
