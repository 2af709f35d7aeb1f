package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
)

// ticket is the result of ask: a lease, or a position in the queue.
type ticket struct {
	revision *revision
	lease    lease
	waiter   *waiter // nil if there is a lease
}

// ask returns a lease on an instance of spec if one has a free place, preferably the
// instance wanted, and otherwise a position in the queue. first is false for a
// further attempt of the same request.
func (f *Fleet) ask(ctx context.Context, spec *lateen.FunctionSpec, now time.Time, wanted lateen.InstanceID, first bool) (ticket, error) {
	f.mu.Lock()
	defer f.unlock()
	if f.ended {
		return ticket{}, errEnding
	}
	client := lateen.ClientFrom(ctx)
	if f.ctx != nil {
		ctx = f.ctx // it keeps no reference to the request
	}
	rev := f.revisionOf(ctx, spec)
	f.cpu.weigh(rev.function.project, spec.Weight)
	if first {
		f.arrive(rev, now)
	}
	if _, waits := rev.nextWaiting(now); waits == nil && rev.mayTake(client) {
		if inst := rev.preferred(wanted); inst != nil && f.mayPass(rev) && f.cpu.admit(rev.function, now) {
			return ticket{revision: rev, lease: f.take(inst, now, startWarm, client)}, nil
		}
	}
	var displaced *revision
	if full, name := f.fullQueue(rev); full != nil {
		if displaced = f.displace(full, name, client); displaced == nil {
			f.drop(rev)
			return ticket{}, lateen.ErrFunctionThrottled.With("%d requests already wait for %s", full.n, name)
		}
	}
	w := &waiter{revision: rev, since: now, client: client, ready: make(chan granted, 1)}
	f.enter(w)
	if displaced != nil {
		f.drop(displaced)
	}
	f.serveNext(rev, now)
	f.growLocked(rev, now)
	return ticket{revision: rev, waiter: w}, nil
}

// wait returns the lease or the error that w gets.
func (f *Fleet) wait(ctx context.Context, rev *revision, w *waiter) (lease, error) {
	select {
	case g := <-w.ready:
		return g.lease, g.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	if i := slices.Index(rev.waiting, w); i >= 0 {
		rev.waiting = slices.Delete(rev.waiting, i, i+1)
		f.leave(w)
		f.drop(rev)
	}
	f.mu.Unlock()
	select {
	case g := <-w.ready: // a lease that was granted at the same moment goes to the next request
		if g.err == nil {
			f.release(&g.lease, &lateen.Invocation{}, outcome{})
		}
	default:
	}
	return lease{}, context.Cause(ctx)
}

// release gives the place back and records the result of the request.
func (f *Fleet) release(l *lease, inv *lateen.Invocation, out outcome) {
	now := time.Now()
	reading, read := l.instance.readUsage(now)
	out.unusable = out.unusable || l.instance.isDone()
	f.mu.Lock()
	defer f.unlock()
	if read {
		f.recordUsage(l.instance, now, reading)
	}
	f.giveBack(l, inv, out, now)
}
