package autoscale

import (
	"math"
	"time"
)

// Demand is the current demand for instances of one function, and their supply.
type Demand struct {
	Waiting  int // requests without a free place
	Ready    int // instances that take requests, all of them full
	Starting int // instances that are starting

	Limit   int           // concurrent requests in one instance; 0 is 1
	Start   time.Duration // time that an instance takes to start
	Service time.Duration // time that a request takes; 0 is unknown and counts as infinite

	Min, Max int // bounds of Ready and Starting together; a Max of 0 is none
}

// Missing returns the number of instances to start now: as many as are needed so
// that no request waits longer than a start takes. While an instance starts, the
// full ones finish some of their requests and take waiting ones; and a new instance
// gets the same time again to work off its part. So a burst on an idle function
// starts as many instances as it can use, never one per request:
//
//	500 wait, limit 10, start 50 ms, service 5 ms: 500/(10·(1+10))      = 4.5: 5
//	500 wait, limit 10, start 50 ms, service 1 s:  500/(10·(1+0.05))    = 47.6: 48
//	 20 wait, 1 ready, the first of these:         (20-1·10·10)/110     < 0: 0
//	  1 waits, 1 ready, service 10 s:              (1-1·10·0.005)/10.05 > 0: 1
func (d Demand) Missing() int {
	limit := float64(max(1, d.Limit))
	turns := 0.0 // requests that one place serves while an instance starts
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
