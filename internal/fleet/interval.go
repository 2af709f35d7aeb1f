package fleet

import (
	"context"
	"math"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// UsageSink takes the usage of instances. It never blocks.
type UsageSink interface {
	AddUsage(s lateen.UsageSample)
}

// usageEvery is the time between two samples of an instance. With the delay of the
// sink's write it is less than a minute: a crash of the platform loses that much.
const usageEvery = 50 * time.Second

// interval adds up the usage of an instance since its last sample. Its inputs are
// the sums of a [meter]. Between two readings, the memory counts as changing evenly.
// Processor time between two readings counts for the requests if there were any.
type interval struct {
	serial int64
	from   time.Time // beginning of the interval on the monotonic clock
	until  time.Time // end of the last sample on the clock of the host, without a monotonic reading
	ended  bool      // the last sample of the instance was taken

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

// begin records a start that lasted from began until now and used u.
func (i *interval) begin(began, now time.Time, u engine.Usage) {
	i.from, i.at, i.cpu, i.memory = began, now, u.CPU, max(0, u.Memory)
	i.starting.add(now.Sub(began), float64(i.memory))
	i.starting.cpu = u.CPU
}

// extend extends the sums to the time of m and its last reading.
func (i *interval) extend(m *meter) {
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

// sample ends the interval at the last reading and begins the next one. clock is the
// time of the host's clock, which may have been set back or forward. It returns
// false if no time has passed.
func (i *interval) sample(clock time.Time) (s lateen.UsageSample, ok bool) {
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

// reportUsage passes the usage of all instances to Options.Usage periodically until
// ctx ends. Each instance passes its last sample itself; see [Fleet.stop].
func (f *Fleet) reportUsage(ctx context.Context) {
	if f.o.Usage == nil {
		return
	}
	every := time.NewTicker(usageEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		f.mu.Lock()
		var all []*instance
		for inst := range f.instances {
			all = append(all, inst)
		}
		f.mu.Unlock()
		for _, inst := range all {
			f.sampleInstance(inst, false)
		}
	}
}

// sampleInstance passes the usage of inst since its last sample to Options.Usage;
// last is true once, after the end of its process.
func (f *Fleet) sampleInstance(inst *instance, last bool) {
	if f.o.Usage == nil {
		return
	}
	now := time.Now()
	inst.sampledAt.Store(now.UnixNano())
	reading := inst.process.Usage()
	f.mu.Lock()
	if inst.interval.ended {
		f.mu.Unlock()
		return
	}
	f.takeUsageLocked(inst, now, reading)
	inst.interval.ended = last
	s, ok := inst.interval.sample(now)
	f.mu.Unlock()
	if !ok {
		return
	}
	spec := &inst.revision.spec
	s.Team, s.Project, s.Deployment, s.Function, s.Instance = spec.Team, spec.Project, spec.Deployment, spec.Name, inst.process.ID()
	f.o.Usage.AddUsage(s)
}
