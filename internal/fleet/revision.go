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
	wanted       int            // starts in Fleet.startQueue
	tried        time.Time      // time of the last request for a start
	waiting      []*waiter      // first come, first served
	clientPlaces map[string]int // places by client
	places       int            // places of all clients
	majority     string         // client found to hold more than half of places; "" is none
	review       *time.Timer
	failures     int       // failed starts in a row while there were other instances
	retry        time.Time // time before which no start is tried while there are other instances

	waitsForCPU bool // it is in Fleet.cpuWaiters
	forgotten   bool // its deployment is deleted: instances stop once no request waits
}

// leastReview is the minimum time between two checks whether waiting requests need
// another instance. leastGap is the minimum time between two starts for the minimum
// instances.
const (
	leastReview = 20 * time.Millisecond
	leastGap    = 10 * time.Second
)

// revisionLocked returns the revision of spec, creating it if necessary.
func (f *Fleet) revisionLocked(ctx context.Context, spec *lateen.FunctionSpec) *revision {
	if rev := f.revisions[spec.Key]; rev != nil {
		return rev
	}
	fn := f.functionLocked(spec.Project, spec.Name)
	fn.project.join(f, spec.Team)
	ceiling, most := spec.Function.MaxConcurrency, spec.Function.MaxInstances
	ceiling = cmp.Or(ceiling, f.o.Concurrency)
	most = cmp.Or(most, f.o.PerFunction)
	limit := f.duration(spec.Function.MaxDuration)
	if f.ctx != nil {
		ctx = f.ctx // f.ctx keeps no reference to the request
	}
	rev := &revision{
		function: fn, spec: *spec, ctx: lateen.WithRequestID(context.WithoutCancel(ctx), ""),
		duration: limit, overdue: lateen.ErrFunctionTimeout.With("the function did not respond within its %s", limit),
		ceiling: ceiling, most: min(most, f.o.PerFunction),
	}
	f.revisions[spec.Key] = rev
	fn.revisions = append(fn.revisions, rev)
	return rev
}

// dropLocked removes rev if it has no instances, starts, waiting requests or minimum
// instances.
func (f *Fleet) dropLocked(rev *revision) {
	if len(rev.instances)+rev.starting+len(rev.waiting)+rev.minimumLocked() > 0 || f.revisions[rev.spec.Key] != rev {
		return
	}
	rev.wanted = 0
	delete(f.revisions, rev.spec.Key)
	rev.function.revisions = slices.DeleteFunc(rev.function.revisions, func(other *revision) bool { return other == rev })
	if rev.review != nil {
		rev.review.Stop()
	}
}

// availableLocked returns the instance that gets the next request, nil if all are
// full. It prefers instances whose requests leave a CPU some idle time, and of these
// the fullest, so that the others may become idle. If there are none, it takes the
// emptiest.
func (rev *revision) availableLocked() *instance {
	return rev.availableBelowLocked(rev.function.limit.At(rev.ceiling))
}

// availableBelowLocked is availableLocked with another limit of requests in one
// instance.
func (rev *revision) availableBelowLocked(limit int) *instance {
	var best *instance
	need := rev.function.need()
	for _, inst := range rev.instances {
		if inst.leaving || inst.inFlight >= limit || isDone(inst.process) {
			continue
		}
		if best == nil || inst.isBefore(best, need) {
			best = inst
		}
	}
	return best
}

// preferredLocked returns the instance with the ID wanted if it has a free place,
// and otherwise the result of availableLocked.
func (rev *revision) preferredLocked(wanted lateen.InstanceID) *instance {
	if wanted != "" {
		limit := rev.function.limit.At(rev.ceiling)
		for _, inst := range rev.instances {
			if inst.process.ID() == wanted && !inst.leaving && inst.inFlight < limit && !isDone(inst.process) {
				return inst
			}
		}
	}
	return rev.availableLocked()
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

// demandLocked returns the current demand of rev, without its queued starts. If
// requests wait although rev has instances, the service time is at least the time
// that the first request has waited for them.
func (rev *revision) demandLocked(now time.Time) autoscale.Demand {
	fn := rev.function
	d := autoscale.Demand{
		Waiting: len(rev.waiting), Ready: rev.active, Starting: rev.starting,
		Limit: fn.limit.At(rev.ceiling), Start: fn.start, Service: fn.service, Min: rev.minimumLocked(), Max: rev.most,
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

// minimumLocked returns the minimum instances in force.
func (rev *revision) minimumLocked() int {
	if rev.forgotten {
		return 0
	}
	return rev.minimum
}

// growLocked queues the starts that rev needs, less those that are queued or
// running, so a burst of requests never starts one instance each.
func (f *Fleet) growLocked(rev *revision, now time.Time) {
	if f.ended {
		return
	}
	d := rev.demandLocked(now)
	d.Starting += rev.wanted
	if now.Sub(rev.tried) < leastGap {
		d.Min = 0 // the last instance started for the minimum may have ended at once
	}
	if rev.active+rev.starting > 0 && now.Before(rev.retry) {
		d.Waiting, d.Min = 0, 0
	}
	if rev.active > 0 && rev.active+rev.starting >= int(f.o.Processors) && rev.function.need() > 0 && !f.usage.mayGrow(now, f.o.Processors, f.load) {
		d.Waiting = 0 // another instance would compete for the same CPUs
	}
	if missing := d.Missing(); missing > 0 {
		if rev.wanted == 0 {
			f.startQueue = append(f.startQueue, rev)
		}
		rev.wanted += missing
		rev.tried = now
	}
	f.startQueuedLocked(now)
	f.reviewLocked(rev, d)
}

// reviewLocked schedules the next check whether the waiting requests of rev, or its
// minimum instances, need another start.
func (f *Fleet) reviewLocked(rev *revision, d autoscale.Demand) {
	after := leastGap
	switch {
	case rev.starting > 0:
		return
	case rev.wanted > 0:
		after = time.Second // capacity may be free for its starts by then
	case len(rev.waiting) > 0:
		after = max(leastReview, d.Start)
		if left := time.Until(rev.retry); left > 0 {
			after = left
		}
	case rev.active >= rev.minimumLocked():
		return
	}
	if rev.review == nil {
		rev.review = time.AfterFunc(after, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.revisions[rev.spec.Key] == rev {
				now := time.Now()
				f.serveNextLocked(rev, now)
				f.growLocked(rev, now)
				f.dropLocked(rev)
			}
		})
		return
	}
	rev.review.Reset(after)
}
