package fleet

import (
	"math"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
)

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

// outcome is the result of a request.
type outcome struct {
	unusable bool          // the instance must not get further requests
	answered time.Duration // time from sending the request to the first byte of the response; 0 is no response
	waited   time.Duration // time before that
	start    lateen.StartKind
	streams  bool // the protocol was switched, so the duration is not that of a usual request
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

// takeLocked takes a place in inst for a client; "" is no particular client.
func (f *Fleet) takeLocked(inst *instance, now time.Time, kind startKind, client string) lease {
	rev, fn := inst.revision, inst.revision.function
	switch {
	case inst.unused:
		inst.unused, kind = false, startPrewarmed
	case inst.freezing && kind == startWarm:
		kind = startThawed
	}
	inst.inFlight++
	rev.countPlacesLocked(client, 1)
	inst.meter.change(now, 1)
	l := lease{
		instance: inst, kind: kind, taken: now, client: client, thaw: inst.freezing, need: fn.need(), cost: costOf(fn.cpu),
		concurrency: inst.inFlight, full: inst.inFlight >= fn.limit.At(rev.ceiling),
		share: inst.meter.now(now), outbound: inst.meter.usage.Outbound,
	}
	f.load += l.need
	fn.project.load += l.need
	f.scheduleSampleLocked(now)
	fn.project.begin(f)
	f.cpuClock.Serve(&fn.project.cpuAccount, l.cost, float64(fn.project.weight))
	return l
}

// Bounds of the CPU seconds that a request costs its project in the fair order. The
// maximum exists because a project would otherwise wait until all others had caught
// up with one expensive request.
const (
	minCost = 0.0005
	maxCost = 1
)

func costOf(seconds float64) float64 { return min(max(seconds, minCost), maxCost) }

// release gives the place back and records the result of the request.
func (f *Fleet) release(l *lease, inv *lateen.Invocation, out outcome) {
	inst := l.instance
	now := time.Now()
	reading, read := inst.readUsage(now)
	gone := isDone(inst.process)
	f.mu.Lock()
	defer f.mu.Unlock()
	if read {
		f.recordUsageLocked(inst, now, reading)
	}
	inst.bill(l, inv, now)
	inst.inFlight--
	inst.revision.countPlacesLocked(l.client, -1)
	inst.requests++
	inst.meter.change(now, -1)
	f.load = max(0, f.load-l.need)
	inst.revision.function.project.load -= l.need
	f.cpuClock.Correct(&inst.revision.function.project.cpuAccount, l.cost, costOf(inv.CPU.Seconds()), float64(inst.revision.function.project.weight))
	inst.revision.function.project.end(f)
	if out.answered > 0 {
		f.learnLocked(inst.revision, l, inv, out, now)
	} else {
		inst.revision.function.learnUnanswered(inv.CPU, now.Sub(l.taken))
	}
	switch {
	case inst.leaving:
		f.drainLocked(inst)
		f.serveCPUWaitersLocked(now)
	case out.unusable || gone:
		f.retireLocked(inst, forced)
		f.serveCPUWaitersLocked(now)
	default:
		f.serveNextLocked(inst.revision, now)
		if inst.inFlight == 0 {
			f.becomeIdleLocked(inst, now)
		}
	}
}

// bill records in inv the resources that the request used.
func (inst *instance) bill(l *lease, inv *lateen.Invocation, now time.Time) {
	inv.CPU = seconds(max(0, inst.meter.now(now)-l.share))
	inv.Memory = inst.meter.usage.Peak
	inv.Outbound = outboundSince(l.outbound, inst.meter.usage.Outbound)
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

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }
