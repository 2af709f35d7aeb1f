package autoscale

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

func TestHistoryFitsHalfAKiB(t *testing.T) {
	if size := unsafe.Sizeof(History{}); size > 512 {
		t.Errorf("a history takes %d bytes; 512 is the budget", size)
	}
}

func TestPauseIsLocatedWithinTheBoundsOfItsBin(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 1))
	pauses := []time.Duration{shortest, shortest + 1, horizon - 1, time.Minute, time.Hour, 24 * time.Hour}
	for range 10_000 {
		pauses = append(pauses, shortest+time.Duration(chance.Int64N(int64(shortest)<<chance.IntN(octaves))))
	}
	for _, pause := range pauses {
		bin, at := locate(pause)
		start, width := bounds(bin)
		from := start + width*float64(at)/256
		if s := pause.Seconds(); bin < 0 || bin >= bins || s < from-1e-6 || s > from+width/256+1e-6 {
			t.Fatalf("%s is located in bin %d at %d: from %.6f s, a 256th of %.6f s wide", pause, bin, at, from, width)
		}
	}
}

func TestBinsOfAHistoryAreContiguous(t *testing.T) {
	end := shortest.Seconds()
	for b := range bins {
		start, width := bounds(b)
		if math.Abs(start-end) > 1e-9*end {
			t.Errorf("bin %d starts at %v s; the one before ends at %v s", b, start, end)
		}
		end = start + width
	}
	if math.Abs(end-horizon.Seconds()) > 1e-6 {
		t.Errorf("the last bin ends at %v s, the horizon is %v s", end, horizon.Seconds())
	}
}

func TestCountsStayWithinTheirRange(t *testing.T) {
	var h History
	at := time.Unix(1, 0)
	chance := rand.New(rand.NewPCG(2, 2))
	for range 5_000 {
		at = at.Add(shortest << chance.IntN(octaves+2))
		h.Observe(at)
		for b := range bins {
			if h.ended[b] > h.reached[b] {
				t.Fatalf("bin %d: %d pauses ended in it, of %d that reached it", b, h.ended[b], h.reached[b])
			}
			if h.ended[b] >= one && h.low[b] > h.high[b] {
				t.Fatalf("bin %d: pauses ended from %d to %d", b, h.low[b], h.high[b])
			}
			if h.reached[b] > 33*one {
				t.Fatalf("bin %d: %d was to be the last 32 pauses", b, h.reached[b])
			}
		}
	}
}

func TestCountsDecayToZero(t *testing.T) {
	count := uint16(32 * one)
	n := 0
	for ; count > 0; n++ {
		count = fade(count)
	}
	if n > 500 {
		t.Errorf("the count became zero after %d pauses", n)
	}
}

func TestBinsTrackTheirShortestAndLongestPause(t *testing.T) {
	var h History
	at := time.Unix(1, 0)
	see := func(pause time.Duration) { at = at.Add(pause); h.Observe(at) }
	h.Observe(at)
	bin, low := locate(58 * time.Minute)
	_, high := locate(62 * time.Minute)
	see(58 * time.Minute)
	see(62 * time.Minute)
	if h.low[bin] < low || h.low[bin] > low+(high-low)/8 || h.high[bin] != high {
		t.Errorf("after 58 and 62 minutes: from %d to %d, want about %d and %d", h.low[bin], h.high[bin], low, high)
	}
	for range 60 {
		see(60 * time.Minute)
	}
	_, middle := locate(60 * time.Minute)
	if h.low[bin] < middle-8 || h.high[bin] > middle+8 {
		t.Errorf("after many of an hour: from %d to %d, want about %d", h.low[bin], h.high[bin], middle)
	}
}
