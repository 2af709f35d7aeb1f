package fleet

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fleet/measure"
)

// instance is a process of a revision, with its requests. The fleet's mutex guards
// the fields that do not say otherwise.
type instance struct {
	revision  *revision
	process   engine.Instance
	since     time.Time
	inFlight  int
	requests  int64 // requests that have ended
	meter     measure.Meter
	interval  measure.Interval
	metered   bool         // its last usage sample was taken
	sampledAt atomic.Int64 // Unix nanoseconds of the last reading of its usage; atomic, so without the mutex
	held      int64        // bytes that it counts for in roster.memory
	unused    bool         // it was prewarmed and has had no request yet

	leaving     bool          // it gets no more requests and will stop
	patient     bool          // it leaves, and its requests may finish
	beneficiary *project      // project that gets its capacity; nil is no particular project
	drained     chan struct{} // closed once it is leaving and has no leases left

	idle     autoscale.IdleState
	planned  bool        // idle.Until comes from a plan or from Options.KeepAlive
	tick     *time.Timer // next check while it is idle
	due      time.Time   // time of that check; zero is none
	priority float64

	freezeLock    chan struct{} // semaphore of one, held during a freeze or thaw; taken before the fleet's mutex
	freezing      bool          // it is frozen or about to be, so a request has to thaw it
	frozen        bool          // it is frozen; written with freezeLock and the mutex held
	unfreezable   bool          // the engine cannot freeze it
	unreclaimable bool          // the engine cannot reclaim its memory
}

// newInstance returns the instance of a process whose start lasted from began until
// now and used loaded. held is the number of bytes that were counted for the start.
func newInstance(rev *revision, process engine.Instance, began, now time.Time, loaded engine.Usage, held int64) *instance {
	inst := &instance{revision: rev, process: process, since: now, held: held, drained: make(chan struct{}), freezeLock: make(chan struct{}, 1)}
	inst.meter.Begin(now, loaded)
	inst.interval.Begin(began, now, loaded)
	return inst
}

// sampleEvery is the minimum time between two readings of an instance's usage at the
// ends of requests.
const sampleEvery = time.Millisecond

// readUsage returns the usage of inst; false if the last reading is too recent.
func (inst *instance) readUsage(now time.Time) (engine.Usage, bool) {
	last := inst.sampledAt.Load()
	since := time.Duration(now.UnixNano() - last) // far below 0 if the clock was set back
	if since.Abs() < sampleEvery || !inst.sampledAt.CompareAndSwap(last, now.UnixNano()) {
		return engine.Usage{}, false
	}
	return inst.process.Usage(), true
}

// isDone reports whether the process takes no more requests.
func (inst *instance) isDone() bool {
	select {
	case <-inst.process.Done():
		return true
	default:
		return false
	}
}

// isBefore reports whether inst rather than other gets the next request, if each
// request uses need CPUs.
func (inst *instance) isBefore(other *instance, need float64) bool {
	busy, otherBusy := need*float64(inst.inFlight) >= 1, need*float64(other.inFlight) >= 1
	switch {
	case busy != otherBusy:
		return otherBusy
	case inst.inFlight != other.inFlight:
		return inst.inFlight > other.inFlight != busy
	}
	return other.freezing && !inst.freezing
}

// tickAt sets the time of the next check of an idle instance.
func (inst *instance) tickAt(now, at time.Time) {
	inst.due = at
	inst.tick.Reset(max(1, at.Sub(now))) // not 0: the fake clock of synctest would run it at once, on the system stack
}

// phase returns the state of inst for the API.
func (inst *instance) phase() lateen.Phase {
	switch {
	case inst.leaving:
		return lateen.PhaseLeaving
	case inst.frozen && inst.idle.Reclaimed:
		return lateen.PhaseReclaimed
	case inst.frozen:
		return lateen.PhaseFrozen
	}
	return lateen.PhaseRunning
}

// startKind is the state of the instance that a request gets.
type startKind int

const (
	startWarm      startKind = iota
	startFresh               // started because requests like this one were waiting
	startPrewarmed           // started before any request, and unused until now
	startThawed              // was frozen
)

// lease is a place in an instance, held for one request.
type lease struct {
	instance *instance
	kind     startKind
	taken    time.Time
	client   string
	thaw     bool // the instance is frozen or about to be

	need        float64 // CPUs that the request is expected to use
	cost        float64 // CPU seconds that the project's account was charged with
	concurrency int     // requests in flight in the instance, including this one
	full        bool    // the instance was full with this request
	share       float64 // reading of the instance's meter at the beginning
	outbound    []lateen.Outbound
}

// note records in inv the instance of the request, the kind of start, and how the
// waiting time divides into phases.
func (l *lease) note(inv *lateen.Invocation, waited time.Duration) {
	inv.Instance = l.instance.process.ID()
	inv.Start, inv.Queue, inv.Claim, inv.Load = lateen.StartWarm, waited, 0, 0
	switch l.kind {
	case startFresh: // the request may have waited for the last part of the start only
		phases := l.instance.process.Started()
		inv.Start = phases.Kind
		inv.Load = min(phases.Load, waited)
		inv.Claim = min(phases.Claim, waited-inv.Load)
		inv.Queue = waited - inv.Load - inv.Claim
	case startPrewarmed:
		inv.Start = lateen.StartPrewarmed
	case startThawed:
		inv.Start = lateen.StartThawed
	case startWarm:
	}
}

// bill records in inv the resources that the request used.
func (l *lease) bill(inv *lateen.Invocation, now time.Time) {
	m := &l.instance.meter
	last := m.Last()
	inv.CPU, inv.Memory, inv.Outbound = m.Since(l.share, now), last.Peak, outboundSince(l.outbound, last.Outbound)
}

// outboundSince returns the connections that were made between two counts.
func outboundSince(before, after []lateen.Outbound) (made []lateen.Outbound) {
	for _, host := range after {
		if i := slices.IndexFunc(before, func(o lateen.Outbound) bool { return o.Host == host.Host }); i >= 0 {
			host.Count -= before[i].Count
		}
		if host.Count > 0 {
			made = append(made, host)
		}
	}
	return made
}
