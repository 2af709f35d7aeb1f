package autoscale

import (
	"math"
	"time"
)

// Demand is what one function is asked for and has, at a moment.
type Demand struct {
	Waiting  int // requests that found no room
	Ready    int // instances that take requests, all of them full
	Starting int // instances on their way

	Limit   int           // requests at once in one instance; 0 is 1
	Start   time.Duration // how long an instance takes to start
	Service time.Duration // how long a request takes; 0 is not known: as if forever

	Min, Max int // bounds of Ready and Starting together; a Max of 0 is none
}

// Missing returns how many instances to start now: those that spare somebody a
// wait longer than a start. While one starts, the full ones end some of their
// requests and take as many that wait; and a new one, once there, is given as
// long again to work off its share. So a burst on an idle function starts what
// it can use, never one for each request:
//
//	500 wait, limit 10, start 50 ms, service 5 ms: 500/(10·(1+10))      = 4.5: 5
//	500 wait, limit 10, start 50 ms, service 1 s:  500/(10·(1+0.05))    = 47.6: 48
//	 20 wait, 1 ready, the first of these:         (20-1·10·10)/110     < 0: 0
//	  1 waits, 1 ready, service 10 s:              (1-1·10·0.005)/10.05 > 0: 1
func (d Demand) Missing() int {
	limit := float64(max(1, d.Limit))
	turns := 0.0 // of one place in the time of a start
	if d.Service > 0 {
		turns = max(0, float64(d.Start)/float64(d.Service))
	}
	ready, starting := max(0, d.Ready), max(0, d.Starting)
	rest := float64(max(0, d.Waiting)) - float64(ready)*limit*turns
	missing := int(math.Ceil(max(0, rest)/(limit*(1+turns)))) - starting
	missing = max(missing, d.Min-ready-starting, 0)
	if d.Max > 0 {
		missing = min(missing, max(0, d.Max-ready-starting))
	}
	return missing
}
