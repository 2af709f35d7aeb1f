package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

// revision is a function of one deployment, with its instances and its waiting
// requests. The fleet's mutex guards the fields.
type revision struct {
	function *function
	spec     lateen.FunctionSpec
	ctx      context.Context //nolint:containedctx // never ends: starts and stops outlive the request that caused them
	duration time.Duration   // maximum time of an invocation
	overdue  error           // error of an invocation past it
	ceiling  int             // maximum of concurrent requests in one instance
	most     int             // maximum of instances
	minimum  int             // minimum instances; see [Fleet.Produce]

	instances    []*instance // oldest first
	active       int         // instances that take requests
	starting     int
	wanted       int            // starts in roster.starts
	arrival      uint64         // its position in roster.starts; 0 is none
	tried        time.Time      // time of the last request for a start
	waiting      []*waiter      // first come, first served
	crowd        crowd          // waiting by client
	clientPlaces map[string]int // places by client
	places       int            // places of all clients
	majority     string         // client found to hold more than half of places; "" is none
	review       *time.Timer
	failures     int       // failed starts in a row while there were other instances
	retry        time.Time // time before which no start is tried while there are other instances

	waitsForCPU bool // it is in Fleet.cpuWaiters
	forgotten   bool // its deployment is deleted: instances stop once no request waits
}

// waiter is a request that waits for a free place.
type waiter struct {
	revision *revision

	since  time.Time
	client string       // "" is no particular client
	failed int          // starts that failed while it waited; see [roster.startFailed]
	ready  chan granted // of capacity 1; one value is sent when the waiter leaves the queue
}

// granted is the result of waiting: a lease or an error.
type granted struct {
	lease lease
	err   error
}

// available returns the instance that gets the next request, nil if all are
// full. It prefers instances whose requests leave a CPU some idle time, and of these
// the fullest, so that the others may become idle. If there are none, it takes the
// emptiest.
func (rev *revision) available() *instance {
	return rev.availableBelow(rev.function.learned.Limit.At(rev.ceiling))
}

// availableBelow is available with another limit of requests in one
// instance.
func (rev *revision) availableBelow(limit int) *instance {
	var best *instance
	need := rev.function.learned.Need()
	for _, inst := range rev.instances {
		if inst.leaving || inst.inFlight >= limit || inst.isDone() {
			continue
		}
		if best == nil || inst.isBefore(best, need) {
			best = inst
		}
	}
	return best
}

// preferred returns the instance with the ID wanted if it has a free place,
// and otherwise the result of available.
func (rev *revision) preferred(wanted lateen.InstanceID) *instance {
	if wanted != "" {
		limit := rev.function.learned.Limit.At(rev.ceiling)
		for _, inst := range rev.instances {
			if inst.process.ID() == wanted && !inst.leaving && inst.inFlight < limit && !inst.isDone() {
				return inst
			}
		}
	}
	return rev.available()
}

// demand returns the current demand of rev, without its queued starts. If
// requests wait although rev has instances, the service time is at least the time
// that the first request has waited for them.
func (rev *revision) demand(now time.Time) autoscale.Demand {
	fn := rev.function
	d := autoscale.Demand{
		Waiting: len(rev.waiting), Ready: rev.active, Starting: rev.starting,
		Limit: fn.learned.Limit.At(rev.ceiling), Start: fn.learned.Start, Service: fn.learned.Service, Min: rev.minInstances(), Max: rev.most,
	}
	d.Start = cmp.Or(d.Start, 100*time.Millisecond)
	if len(rev.waiting) > 0 && rev.active > 0 {
		since := rev.waiting[0].since
		if there := rev.instances[0].since; there.After(since) {
			since = there
		}
		d.Service = max(d.Service, now.Sub(since), time.Millisecond)
	}
	return d
}

// minInstances returns the minimum instances in force.
func (rev *revision) minInstances() int {
	if rev.forgotten {
		return 0
	}
	return rev.minimum
}

// rank returns the number of instances that are older than inst; they get requests
// before it.
func (rev *revision) rank(inst *instance) (n int) {
	for _, other := range rev.instances {
		if other == inst {
			break
		}
		if !other.leaving {
			n++
		}
	}
	return n
}

// isBefore reports whether rev's project comes before that of other in the fair
// order; it does if other is nil.
func (rev *revision) isBefore(other *revision) bool {
	return other == nil || rev.function.project.cpuAccount.Before(&other.function.project.cpuAccount)
}

// remove removes a request from the queue, usually the first.
func (rev *revision) remove(i int) {
	if i > 0 {
		rev.waiting = slices.Delete(rev.waiting, i, i+1)
		return
	}
	rev.waiting[0] = nil
	rev.waiting = rev.waiting[1:]
}
