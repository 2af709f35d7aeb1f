package fleet

import (
	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/rounds"
)

// project is what all functions of a project have together. Its fields are
// guarded by the fleet's mutex.
type project struct {
	id        lateen.ProjectID
	team      *team
	functions map[string]*function

	weight    int              // against others; at least 1
	account   rounds.Account   // of processor time
	ahead     autoscale.Budget // of starts nobody asked for
	load      float64          // processors that its requests use, as far as is known
	instances int              // there or starting; not those that are leaving
	owed      int              // instances of others that are leaving for it
	waiting   int
	requests  int // waiting or in flight
}

// team is what all projects of a team have together. Its field is guarded by the
// fleet's mutex.
type team struct{ instances int }

// join has the project be one of a team.
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

// count notes that the project has n instances more.
func (p *project) count(n int) {
	p.instances += n
	p.team.instances += n
}

// begin notes a request of the project.
func (p *project) begin(f *Fleet) {
	if p.requests == 0 {
		f.weights += p.weight
	}
	p.requests++
}

// weigh gives the project the weight it has from now on.
func (p *project) weigh(f *Fleet, weight int) {
	weight = max(1, weight)
	if p.requests > 0 {
		f.weights += weight - p.weight
	}
	p.weight = weight
}

// holding is how many instances the project has, and so many more.
func (p *project) holding(more int) autoscale.Holding {
	return autoscale.Holding{Has: p.instances + more, Weight: float64(p.weight)}
}

// end notes that a request is over.
func (p *project) end(f *Fleet) {
	p.requests--
	if p.requests > 0 {
		return
	}
	f.weights -= p.weight
	p.load = 0 // and no remainder of sums
	if f.weights == 0 {
		f.load = 0
	}
}
