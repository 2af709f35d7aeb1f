package fleet

import (
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/fairqueue"
	"github.com/lateen-dev/lateen/internal/fleet/measure"
)

// cpuTime divides the CPU time between the projects with requests.
type cpuTime struct {
	measure.Load

	clock       fairqueue.Clock // order of the projects by CPU time
	weights     int             // sum over the projects with requests
	sampling    bool            // the CPU time of the instances is read periodically, or due to be
	samplingDue bool            // the periodic readings have to begin
}

// begin counts a request of a project.
func (c *cpuTime) begin(p *project) {
	if p.requests == 0 {
		c.weights += p.weight
	}
	p.requests++
}

// end counts the end of a request.
func (c *cpuTime) end(p *project) {
	p.requests--
	if p.requests > 0 {
		return
	}
	c.weights -= p.weight
	p.load = 0 // discards the rounding error of the sum
	if c.weights == 0 {
		c.Expected = 0
	}
}

// weigh sets the weight of a project.
func (c *cpuTime) weigh(p *project, weight int) {
	weight = max(1, weight)
	if p.requests > 0 {
		c.weights += weight - p.weight
	}
	p.weight = weight
}

// admit reports whether a request of fn may use CPU time: if it is not short, or if
// the project of fn uses less than its share.
func (c *cpuTime) admit(fn *function, now time.Time) bool {
	need := fn.learned.Need()
	if need == 0 || !c.IsShort(now) {
		return true
	}
	p := fn.project
	return autoscale.Processors{Total: c.Processors, Used: c.Expected, Own: p.load, Part: float64(p.weight) / float64(max(p.weight, c.weights))}.Admit(need)
}

// take charges the project of fn for the CPU time that a request is expected to use:
// need CPUs, and cost CPU seconds.
func (c *cpuTime) take(fn *function, need, cost float64, now time.Time) {
	p := fn.project
	c.Expected += need
	p.load += need
	if !c.sampling && c.Expected >= c.Processors {
		c.sampling, c.samplingDue = true, true
		c.Begin(now)
	}
	c.begin(p)
	c.clock.Serve(&p.cpuAccount, cost, float64(p.weight))
}

// giveBack ends the charge of a request, which has used CPU seconds.
func (c *cpuTime) giveBack(fn *function, need, cost, used float64) {
	p := fn.project
	c.Expected = max(0, c.Expected-need)
	p.load -= need
	c.clock.Correct(&p.cpuAccount, cost, costOf(used), float64(p.weight))
	c.end(p)
}

// Bounds of the CPU seconds that a request costs its project in the fair order. The
// maximum exists because a project would otherwise wait until all others had caught
// up with one expensive request.
const (
	minCost = 0.0005
	maxCost = 1
)

func costOf(seconds float64) float64 { return min(max(seconds, minCost), maxCost) }
