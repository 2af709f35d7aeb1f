package fleet

import (
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/fleet/measure"
)

// unlock begins the stops, starts and readings that the changes under the mutex
// require, and unlocks it. Each change of instances, leases or starts ends with it.
func (f *Fleet) unlock() {
	f.settleLocked()
	if f.cpu.samplingDue {
		f.cpu.samplingDue = false
		time.AfterFunc(measure.Window, f.sampleUsage)
	}
	f.mu.Unlock()
}

// settleLocked stops the processes of retired instances, starts others for the
// requests that wait for them, and begins queued starts for which there may be
// capacity now.
func (f *Fleet) settleLocked() {
	for f.startsDue || len(f.retired) > 0 {
		now := time.Now()
		f.startQueuedLocked(now)
		retired := f.retired
		f.retired = nil
		for _, inst := range retired {
			f.work.Go(func() { f.stop(inst) })
			f.growLocked(inst.revision, now)
		}
	}
}

// leastReview is the minimum time between two checks whether waiting requests need
// another instance. leastGap is the minimum time between two starts for the minimum
// instances.
const (
	leastReview = 20 * time.Millisecond
	leastGap    = 10 * time.Second
	startReview = time.Second // time after which there may be capacity for queued starts without any event
)

// growLocked queues the starts that rev needs, less those that are queued or
// running, so a burst of requests never starts one instance each.
func (f *Fleet) growLocked(rev *revision, now time.Time) {
	if f.ended {
		return
	}
	d := rev.demand(now)
	d.Starting += rev.wanted
	if now.Sub(rev.tried) < leastGap {
		d.Min = 0 // the last instance started for the minimum may have ended at once
	}
	if rev.active+rev.starting > 0 && now.Before(rev.retry) {
		d.Waiting, d.Min = 0, 0
	}
	if rev.active > 0 && rev.active+rev.starting >= int(f.o.Processors) && rev.function.learned.Need() > 0 && !f.cpu.MayGrow(now) {
		d.Waiting = 0 // another instance would compete for the same CPUs
	}
	if missing := d.Missing(); missing > 0 {
		f.starts.add(rev, missing)
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
	case rev.wanted > 0 && rev.active == 0:
		f.reviewStartsLocked()
		return
	case rev.wanted > 0:
		after = startReview
	case len(rev.waiting) > 0:
		after = max(leastReview, d.Start)
		if left := time.Until(rev.retry); left > 0 {
			after = left
		}
	case rev.active >= rev.minInstances():
		return
	}
	if rev.review == nil {
		rev.review = time.AfterFunc(after, func() {
			f.mu.Lock()
			defer f.unlock()
			if f.revisions[rev.spec.Key] == rev {
				now := time.Now()
				f.serveNext(rev, now)
				f.growLocked(rev, now)
				f.drop(rev)
			}
		})
		return
	}
	rev.review.Reset(after)
}

// reviewStartsLocked schedules the next attempt to begin queued starts.
func (f *Fleet) reviewStartsLocked() {
	if f.reviewing {
		return
	}
	f.reviewing = true
	time.AfterFunc(startReview, func() {
		f.mu.Lock()
		defer f.unlock()
		f.reviewing = false
		f.startQueuedLocked(time.Now())
		if !f.starts.isEmpty() && !f.ended {
			f.reviewStartsLocked()
		}
	})
}

// startQueuedLocked begins the queued starts for which there is capacity: first
// those of the project with the fewest instances by its weight.
func (f *Fleet) startQueuedLocked(now time.Time) {
	defer func() { f.startsDue = false }() // the loop has considered the capacity that it freed itself
	if f.ended {
		return
	}
	for reserve := 0; f.attempts < f.o.Starts; {
		rev := f.starts.next(now, reserve)
		if rev == nil {
			return
		}
		if !f.ensureCapacity(rev, now) {
			f.yieldFor(rev, now)
			reserve = rev.function.project.reserve() + 1 // projects with a larger reserve do not wait for rev
			continue
		}
		rev.wanted--
		f.beginLocked(rev, time.Time{})
	}
}

// beginLocked begins a start for rev: for its waiting requests, or, if until is not
// zero, as a prewarm for a request that is expected until then.
func (f *Fleet) beginLocked(rev *revision, until time.Time) {
	rev.starting++
	rev.function.project.count(1)
	f.total++
	f.attempts++
	held := rev.function.learned.Estimate()
	f.memory += held
	f.work.Go(func() { f.start(rev, held, until) })
}
