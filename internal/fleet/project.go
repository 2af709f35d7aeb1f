package fleet

import (
	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/fairqueue"
)

// project holds the state that all functions of a project share. The fleet's mutex
// guards the fields.
type project struct {
	id        lateen.ProjectID
	team      *team
	functions map[string]*function

	weight     int               // weight against other projects; at least 1
	cpuAccount fairqueue.Account // account of CPU time
	prewarms   autoscale.Budget  // budget of starts that no request triggered
	load       float64           // CPUs that its requests in flight are expected to use
	instances  int               // running or starting instances, without leaving ones
	yielding   int               // leaving instances of other projects or functions whose capacity it gets
	waiting    int
	requests   int // waiting requests and requests in flight
}

// team holds the state that all projects of a team share. The fleet's mutex guards
// the field.
type team struct{ instances int }

// join makes the project one of a team's.
func (p *project) join(f *Fleet, id lateen.TeamID) {
	t := f.teams[id]
	if t == nil {
		t = &team{}
		f.teams[id] = t
	}
	if p.team != t {
		p.team.instances -= p.instances
		t.instances += p.instances
		p.team = t
	}
}

// count adds n to the number of the project's instances.
func (p *project) count(n int) {
	p.instances += n
	p.team.instances += n
}

// begin counts a request of the project.
func (p *project) begin(f *Fleet) {
	if p.requests == 0 {
		f.weights += p.weight
	}
	p.requests++
}

// weigh sets the weight of the project.
func (p *project) weigh(f *Fleet, weight int) {
	weight = max(1, weight)
	if p.requests > 0 {
		f.weights += weight - p.weight
	}
	p.weight = weight
}

// holding returns the project's instances plus more, with its weight.
func (p *project) holding(more int) autoscale.Holding {
	return autoscale.Holding{Has: p.instances + more, Weight: float64(p.weight)}
}

// end counts the end of a request.
func (p *project) end(f *Fleet) {
	p.requests--
	if p.requests > 0 {
		return
	}
	f.weights -= p.weight
	p.load = 0 // discards the rounding error of the sum
	if f.weights == 0 {
		f.load = 0
	}
}
