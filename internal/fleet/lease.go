package fleet

import (
	"math"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
)

// found is how a request came by its instance.
type found int

const (
	warm   found = iota
	fresh        // started for requests like this one
	ahead        // started before anybody asked
	asleep       // frozen
)

// lease is a place in an instance, held for one request.
type lease struct {
	member *member
	found  found
	taken  time.Time
	client string
	wake   bool // it is frozen, or about to be

	need     float64 // processors it is believed to use
	cost     float64 // seconds of them that it was charged with
	company  int     // requests that the instance has, this one among them
	full     bool    // that was all it takes
	share    float64 // of the instance's meter when it came
	outbound []lateen.Outbound
}

// verdict is what became of a request.
type verdict struct {
	spoiled  bool          // the instance takes no more requests
	answered time.Duration // from the instance having it to the first byte; 0 is no answer
	waited   time.Duration // before that
	start    lateen.StartKind
	streams  bool // it switched protocols: it says nothing of how long requests take
}

// note tells how the request came by its instance after it has waited.
func (l *lease) note(inv *lateen.Invocation, waited time.Duration) {
	inv.Instance = l.member.instance.ID()
	inv.Start, inv.Queue, inv.Claim, inv.Load = lateen.StartWarm, waited, 0, 0
	switch l.found {
	case fresh: // of whose start it may have waited for the end only
		phases := l.member.instance.Started()
		inv.Start = phases.Kind
		inv.Load = min(phases.Load, waited)
		inv.Claim = min(phases.Claim, waited-inv.Load)
		inv.Queue = waited - inv.Load - inv.Claim
	case ahead:
		inv.Start = lateen.StartPrewarmed
	case asleep:
		inv.Start = lateen.StartThawed
	case warm:
	}
}

// takeLocked holds a place in m for a client; "" is none in particular.
func (f *Fleet) takeLocked(m *member, now time.Time, how found, client string) lease {
	p, fn := m.pool, m.pool.function
	switch {
	case m.unasked:
		m.unasked, how = false, ahead
	case m.napping && how == warm:
		how = asleep
	}
	m.inFlight++
	p.holdLocked(client, 1)
	m.meter.change(now, 1)
	l := lease{
		member: m, found: how, taken: now, client: client, wake: m.napping, need: fn.need(), cost: costOf(fn.cpu),
		company: m.inFlight, full: m.inFlight >= fn.limit.At(p.ceiling),
		share: m.meter.now(now), outbound: m.meter.usage.Outbound,
	}
	f.load += l.need
	fn.project.load += l.need
	f.lookLocked(now)
	fn.project.begin(f)
	f.turn.Serve(&fn.project.account, l.cost, float64(fn.project.weight))
	return l
}

// What a request costs in the order of projects, in seconds of processor time:
// at least that, known or not, and no more, or its project would wait for as
// long as all others take to make up for it.
const (
	minCost = 0.0005
	maxCost = 1
)

func costOf(seconds float64) float64 { return min(max(seconds, minCost), maxCost) }

// release gives the place back and enters what became of the request.
func (f *Fleet) release(l *lease, inv *lateen.Invocation, v verdict) {
	m := l.member
	now := time.Now()
	reading, read := m.readUsage(now)
	gone := isDone(m.instance)
	f.mu.Lock()
	defer f.mu.Unlock()
	if read {
		f.enterLocked(m, now, reading)
	}
	m.bill(l, inv, now)
	m.inFlight--
	m.pool.holdLocked(l.client, -1)
	m.requests++
	m.meter.change(now, -1)
	f.load = max(0, f.load-l.need)
	m.pool.function.project.load -= l.need
	f.turn.Correct(&m.pool.function.project.account, l.cost, costOf(inv.CPU.Seconds()), float64(m.pool.function.project.weight))
	m.pool.function.project.end(f)
	if v.answered > 0 {
		f.learnLocked(m.pool, l, inv, v, now)
	} else {
		m.pool.function.learnVain(inv.CPU, now.Sub(l.taken))
	}
	switch {
	case m.leaving:
		f.drainLocked(m)
		f.serveGatedLocked(now)
	case v.spoiled || gone:
		f.retireLocked(m, forced)
		f.serveGatedLocked(now)
	default:
		f.serveNextLocked(m.pool, now)
		if m.inFlight == 0 {
			f.restLocked(m, now)
		}
	}
}

// bill says what the request has used.
func (m *member) bill(l *lease, inv *lateen.Invocation, now time.Time) {
	inv.CPU = seconds(max(0, m.meter.now(now)-l.share))
	inv.Memory = m.meter.usage.Peak
	inv.Outbound = outboundSince(l.outbound, m.meter.usage.Outbound)
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
