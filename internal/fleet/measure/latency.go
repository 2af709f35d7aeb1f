package measure

import (
	"math/bits"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
)

// startKinds returns the kinds of starts, the quickest first.
func startKinds() [6]lateen.StartKind {
	return [...]lateen.StartKind{lateen.StartWarm, lateen.StartThawed, lateen.StartPrewarmed, lateen.StartTemplate, lateen.StartBlank, lateen.StartCold}
}

// Latencies holds the time to the first byte of requests, by the kind of start of
// their instance.
type Latencies [6]*histogram

// Add records the time of a request.
func (l *Latencies) Add(kind lateen.StartKind, took time.Duration) {
	kinds := startKinds()
	i := slices.Index(kinds[:], kind)
	if i < 0 {
		return
	}
	if l[i] == nil {
		l[i] = &histogram{}
	}
	l[i].add(took)
}

// States returns the counts and quantiles for the API.
func (l *Latencies) States() []lateen.StartState {
	states := []lateen.StartState{}
	for i, kind := range startKinds() {
		if h := l[i]; h != nil {
			states = append(states, lateen.StartState{Kind: kind, Count: h.count, P50: h.quantile(0.5), P99: h.quantile(0.99)})
		}
	}
	return states
}

// The histogram has two bins per octave, from 65 µs to 4 minutes.
const (
	leastBit = 16
	octaves  = 22
)

// histogram counts recent times: all bins are halved when one is full.
type histogram struct {
	count int64 // all times since the beginning
	bins  [2 * octaves]uint16
}

func (h *histogram) add(took time.Duration) {
	h.count++
	b := &h.bins[binOf(took)]
	if *b++; *b == 1<<16-1 {
		for i := range h.bins {
			h.bins[i] /= 2
		}
	}
}

// binOf returns the bin of a time: the highest bit selects the octave, the next bit
// the half.
func binOf(took time.Duration) int {
	top := bits.Len64(uint64(max(1, took))) - 1
	if top < leastBit {
		return 0
	}
	return min((top-leastBit)*2+int(took>>(top-1)&1), 2*octaves-1)
}

// quantile returns the middle of the bin that contains the quantile share; 0 if
// there are no times.
func (h *histogram) quantile(share float64) time.Duration {
	total := 0
	for _, n := range h.bins {
		total += int(n)
	}
	sum := 0
	for i, n := range h.bins {
		if sum += int(n); n > 0 && float64(sum) >= share*float64(total) {
			from := time.Duration(2+i%2) << (leastBit + i/2 - 1)
			return from + (time.Duration(1)<<(leastBit+i/2-1))/2
		}
	}
	return 0
}
