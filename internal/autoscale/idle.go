package autoscale

import "time"

// Step is the next step for an idle instance.
type Step int

// The steps of an idle instance, in order.
const (
	StepNone Step = iota // look again later
	StepFreeze
	StepReclaim
	StepStop
)

// Idle holds the delays between the steps of an idle instance. Its zero value is the
// default.
type Idle struct {
	Freeze  time.Duration // after the last request and its background work; 0 is 300 ms
	Reclaim time.Duration // after the freeze; 0 is 5 seconds
}

// IdleState describes an instance without requests.
type IdleState struct {
	BusyUntil time.Time // end of the last background work, as far as known
	Busy      bool      // there is background work now
	Until     time.Time // end of the time for which it is kept

	Frozen, Reclaimed        bool
	Unfreezable, Unreclaimed bool      // the engine does not support the step
	At                       time.Time // time of the last step
}

// Next returns the step to take for r now, and the time to look again if no request
// comes. An instance with background work keeps running.
func (p Idle) Next(r IdleState, now time.Time) (Step, time.Time) {
	setDefault(&p.Freeze, 300*time.Millisecond)
	setDefault(&p.Reclaim, 5*time.Second)
	freeze, reclaim := r.BusyUntil.Add(p.Freeze), r.At.Add(p.Reclaim)
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
