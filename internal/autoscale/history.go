package autoscale

import (
	"math"
	"math/bits"
	"time"
)

// A pause falls into one of four bins an octave, from about a second (2^30 ns)
// to 39 hours (2^47 ns). Shorter ones are no occasion to stop anything, and
// after longer ones nothing is foretold.
const (
	firstBit = 30
	octaves  = 17
	quarters = 4 // of an octave
	bins     = octaves * quarters

	shortest = time.Duration(1) << firstBit
	horizon  = time.Duration(1) << (firstBit + octaves)
)

// Counts are fixed-point numbers that fade: each new one takes a 32nd off
// what was counted before, so that a bin remembers the last 32 pauses that
// came that far, give or take.
const (
	one      = 256
	fadeBits = 5
)

const usesHalfLife = time.Hour

// History is what is known of a function's arrivals, in less than half a KiB.
// The zero value knows nothing. It is not safe for concurrent use. Where a
// function has several instances, the second may have a history of its own: of
// the arrivals that needed a second.
//
// It is a life table: of the pauses that reached a bin, how many ended in it,
// and where in it. A short pause fades what is known of short ones only, so a
// busy day leaves the memory of quiet nights alone.
type History struct {
	last int64   // Unix nanoseconds; 0 is never
	uses float64 // as of last

	reached   [bins]uint16 // pauses that lasted to the bin's start
	ended     [bins]uint16 // those that ended in it; never more than reached it
	low, high [bins]uint8  // where in it, in 256ths: the recent extremes
}

// Observe learns that a request arrived. Arrivals come in order; one that is
// before the last is counted, and nothing else is learned from it.
func (h *History) Observe(at time.Time) {
	now := at.UnixNano()
	pause := time.Duration(now - h.last)
	if h.last != 0 && pause < 0 {
		h.uses++
		return
	}
	h.uses = h.faded(pause) + 1
	if h.last != 0 && pause >= shortest {
		h.learn(pause)
	}
	h.last = now
}

// Last is when the function was asked last; zero is never.
func (h *History) Last() time.Time {
	if h.last == 0 {
		return time.Time{}
	}
	return time.Unix(0, h.last)
}

// Uses is how often the function was asked of late: a count of which half is
// forgotten every hour.
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

// learn enters a pause into the table.
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
	if h.ended[k] < one/2 { // too long ago to count
		h.low[k], h.high[k] = at, at
	}
	h.low[k] = min(at, h.low[k]+drift(h.low[k], at))
	h.high[k] = max(at, h.high[k]-drift(at, h.high[k]))
	h.ended[k] += one
}

// fade takes a 32nd off, rounded up so that the smallest rest goes, too.
func fade(count uint16) uint16 {
	return count - (count+1<<fadeBits-1)>>fadeBits
}

// drift is how far an extreme that was not reached anew yields: an eighth of the way.
func drift(from, to uint8) uint8 {
	if from >= to {
		return 0
	}
	return (to - from) / 8
}

// locate returns the bin that holds a pause, and how far in it, in 256ths.
// The bits of the number are the answer: the highest set one is the octave,
// the next two the quarter, the eight after them the place.
func locate(pause time.Duration) (bin int, at uint8) {
	top := bits.Len64(uint64(pause)) - 1
	return (top-firstBit)*quarters + int(pause>>(top-2)&3), uint8(pause >> (top - 10) & 255)
}

// bounds returns where a bin starts and how wide it is, in seconds.
//
//	bin  0:    1.07 s,   0.27 s
//	bin 36:  550 s,    137 s      10 minutes are in it
//	bin 46: 3299 s,    550 s      an hour
//	bin 64: 70369 s, 17592 s      a day
func bounds(bin int) (start, width float64) {
	octave := time.Duration(1) << (firstBit + bin/quarters)
	width = (octave / quarters).Seconds()
	return octave.Seconds() + float64(bin%quarters)*width, width
}
