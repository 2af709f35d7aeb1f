package autoscale

import "time"

// Step is what to do with an instance that rests.
type Step int

// The steps from rest to nothing, in order.
const (
	StepNone Step = iota // look again later
	StepFreeze
	StepReclaim
	StepStop
)

// Idle says when an instance that rests goes a step further. Its zero value is
// the default.
type Idle struct {
	Freeze  time.Duration // after the last request and the work behind it; 0 is 300 ms
	Reclaim time.Duration // after it was frozen; 0 is 5 seconds
}

// Rest is an instance without requests.
type Rest struct {
	Quiet time.Time // since when there is no work behind responses either, as far as known
	Busy  bool      // there is some now
	Until time.Time // it is kept until then

	Frozen, Reclaimed        bool
	Unfreezable, Unreclaimed bool      // the engine does not know how
	At                       time.Time // of the last step
}

// Next returns what to do with r now, and when to look again if nothing else
// happens. One that works is let be, for as long as it works.
func (p Idle) Next(r Rest, now time.Time) (Step, time.Time) {
	setDefault(&p.Freeze, 300*time.Millisecond)
	setDefault(&p.Reclaim, 5*time.Second)
	freeze, reclaim := r.Quiet.Add(p.Freeze), r.At.Add(p.Reclaim)
	switch {
	case r.Busy:
		return StepNone, now.Add(p.Freeze)
	case !now.Before(r.Until):
		return StepStop, now
	case !r.Frozen && !r.Unfreezable:
		if !now.Before(freeze) {
			return StepFreeze, earlier(r.Until, now.Add(p.Reclaim))
		}
		return StepNone, earlier(r.Until, freeze)
	case r.Frozen && !r.Reclaimed && !r.Unreclaimed:
		if !now.Before(reclaim) {
			return StepReclaim, r.Until
		}
		return StepNone, earlier(r.Until, reclaim)
	}
	return StepNone, r.Until
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
