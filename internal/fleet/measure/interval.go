package measure

import (
	"math"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// Interval adds up the usage of an instance since its last sample. Its inputs are
// the sums of a [Meter]. Between two readings, the memory counts as changing evenly.
// Processor time between two readings counts for the requests if there were any.
type Interval struct {
	serial int64
	from   time.Time // beginning of the interval on the monotonic clock
	until  time.Time // end of the last sample on the clock of the host, without a monotonic reading

	// State at the last reading.
	at           time.Time
	busy, frozen time.Duration // sums of the meter
	cpu          time.Duration
	memory       int64

	starting, working, idle, resting sum
}

// sum is the usage in one state.
type sum struct {
	time, cpu time.Duration
	memory    float64 // byte-seconds
}

func (s *sum) add(d time.Duration, memory float64) {
	s.time += d
	s.memory += memory * d.Seconds()
}

func (s *sum) usage() lateen.StateUsage {
	return lateen.StateUsage{Time: s.time, Memory: int64(math.Round(s.memory)), CPU: s.cpu}
}

// Begin records a start that lasted from began until now and used u.
func (i *Interval) Begin(began, now time.Time, u engine.Usage) {
	i.from, i.at, i.cpu, i.memory = began, now, u.CPU, max(0, u.Memory)
	i.starting.add(now.Sub(began), float64(i.memory))
	i.starting.cpu = u.CPU
}

// Extend extends the sums to the time of m and its last reading.
func (i *Interval) Extend(m *Meter) {
	passed := m.at.Sub(i.at)
	total, busy, frozen := passed, seconds(m.working), seconds(m.frozen)
	worked := min(max(0, busy-i.busy), passed)
	passed -= worked
	rested := min(max(0, frozen-i.frozen), passed)
	passed -= rested
	memory := m.usage.Memory
	if memory <= 0 { // unknown, or the process has ended
		memory = i.memory
	}
	mean := (float64(i.memory) + float64(memory)) / 2
	i.working.add(worked, mean)
	i.resting.add(rested, mean)
	i.idle.add(passed, mean)
	used := max(0, m.usage.CPU-i.cpu)
	switch {
	case worked > 0:
		i.working.cpu += used
	case rested == total && total > 0:
		i.resting.cpu += used
	default:
		i.idle.cpu += used
	}
	i.at, i.busy, i.frozen, i.cpu, i.memory = m.at, busy, frozen, i.cpu+used, memory
}

// Sample ends the interval at the last reading and begins the next one. clock is the
// time of the host's clock, which may have been set back or forward. It returns
// false if no time has passed.
func (i *Interval) Sample(clock time.Time) (s lateen.UsageSample, ok bool) {
	took := i.at.Sub(i.from)
	if took <= 0 {
		return s, false
	}
	from := clock.Round(0).Add(-took)
	if from.Before(i.until) {
		from = i.until
	}
	i.serial++
	i.from, i.until = i.at, from.Add(took)
	s = lateen.UsageSample{
		Serial: i.serial, From: lateen.MillisOf(from), To: lateen.MillisOf(i.until),
		Usage: lateen.Usage{Starting: i.starting.usage(), Busy: i.working.usage(), Idle: i.idle.usage(), Frozen: i.resting.usage()},
	}
	i.starting, i.working, i.idle, i.resting = sum{}, sum{}, sum{}, sum{}
	return s, true
}
