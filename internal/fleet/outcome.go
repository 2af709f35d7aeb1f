package fleet

import (
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// outcome is the result of a request.
type outcome struct {
	unusable bool          // the instance must not get further requests
	answered time.Duration // time from sending the request to the first byte of the response; 0 is no response
	waited   time.Duration // time before that
	start    lateen.StartKind
	streams  bool // the protocol was switched, so the duration is not that of a usual request
}

// learn learns from an answered request of rev.
func (r *roster) learn(rev *revision, l *lease, inv *lateen.Invocation, out outcome, now time.Time) {
	fn, inst := rev.function, l.instance
	fn.latency.Add(out.start, out.waited+out.answered)
	short := r.cpu.IsShort(now)
	fn.learned.Answer(autoscale.Answered{
		At: now, Took: out.answered, Company: max(l.concurrency, inst.inFlight+1), Full: l.full || len(rev.waiting) > 0 && !rev.waitsForCPU,
		Load: inst.meter.Rate(), Hindered: r.attempts > 0 || short,
	}, rev.ceiling, short)
	if !out.streams {
		fn.learned.Serve(now.Sub(l.taken), inv.CPU)
	}
}

// giveBack ends a lease at the end of its request, and gives the place to a waiting
// request.
func (r *roster) giveBack(l *lease, inv *lateen.Invocation, out outcome, now time.Time) {
	inst, rev := l.instance, l.instance.revision
	l.bill(inv, now)
	inst.inFlight--
	rev.countPlaces(l.client, -1)
	inst.requests++
	inst.meter.Change(now, -1)
	r.cpu.giveBack(rev.function, l.need, l.cost, inv.CPU.Seconds())
	if out.answered > 0 {
		r.learn(rev, l, inv, out, now)
	} else {
		rev.function.learned.Fail(inv.CPU, now.Sub(l.taken))
	}
	switch {
	case inst.leaving:
		r.drain(inst)
		r.serveCPUWaiters(now)
	case out.unusable:
		r.retire(inst, forced)
		r.serveCPUWaiters(now)
	default:
		r.serveNext(rev, now)
		if inst.inFlight == 0 {
			r.becomeIdle(inst, now)
		}
	}
}
