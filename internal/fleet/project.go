package fleet

import (
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/autoscale"
	"github.com/lateen-dev/lateen/internal/fairqueue"
	"github.com/lateen-dev/lateen/internal/fleet/measure"
)

// team holds the state that all projects of a team share. The fleet's mutex guards
// the field.
type team struct{ instances int }

// project holds the state that all functions of a project share. The fleet's mutex
// guards the fields.
type project struct {
	id        lateen.ProjectID
	team      *team
	functions map[string]*function

	starts     []*revision       // revisions in roster.starts, in order of arrival
	weight     int               // weight against other projects; at least 1
	cpuAccount fairqueue.Account // account of CPU time
	prewarms   autoscale.Budget  // budget of starts that no request triggered
	load       float64           // CPUs that its requests in flight are expected to use
	instances  int               // running or starting instances, without leaving ones
	yielding   int               // leaving instances of other projects or functions whose capacity it gets
	waiting    crowd
	requests   int // waiting requests and requests in flight
}

// join makes the project one of a team's.
func (p *project) join(t *team) {
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

// holding returns the project's instances plus more, with its weight.
func (p *project) holding(more int) autoscale.Holding {
	return autoscale.Holding{Has: p.instances + more, Weight: float64(p.weight)}
}

// reserve returns the reserve of the project, in sixteenths of the bounds: requests
// that do not end can hold every instance for any time, and a project without
// instances would wait for them. A project whose team has instances gets half of the
// full reserve, so that the projects of one team cannot use it up.
func (p *project) reserve() int {
	switch {
	case p.instances > 0:
		return 0
	case p.team.instances > 0:
		return 1
	}
	return 2
}

// function is a function of a project. All deployments share its statistics, since
// the behavior of a function seldom changes with a deployment. The fleet's mutex
// guards the fields.
type function struct {
	project *project
	name    string

	learned autoscale.Learned
	latency measure.Latencies

	revisions []*revision         // revisions with instances, starts or waiting requests
	last      lateen.DeploymentID // deployment of the last request

	next    *lateen.FunctionSpec // function to start before its next expected request; nil is none
	plan    autoscale.Plan
	planned *time.Timer

	newer, older *function // neighbors in the order of the last request
}

// cancelPlan cancels the scheduled start of an instance.
func (fn *function) cancelPlan() {
	if fn.next != nil {
		fn.planned.Stop()
		fn.next, fn.planned, fn.plan = nil, nil, autoscale.Plan{}
	}
}

// recency lists functions in the order of their last request.
type recency struct {
	newest, oldest *function
	n              int
}

// all yields the functions, the oldest first; the loop body may remove the current
// one.
func (r *recency) all(yield func(*function) bool) {
	for fn := r.oldest; fn != nil; {
		next := fn.newer
		if !yield(fn) {
			return
		}
		fn = next
	}
}

// touch makes fn the newest, adding it if necessary.
func (r *recency) touch(fn *function) {
	if r.newest == fn {
		return
	}
	if fn.newer != nil || fn.older != nil {
		r.remove(fn)
	}
	fn.older, fn.newer = r.newest, nil
	if r.newest != nil {
		r.newest.newer = fn
	} else {
		r.oldest = fn
	}
	r.newest = fn
	r.n++
}

// remove removes fn from the list.
func (r *recency) remove(fn *function) {
	if fn.newer != nil {
		fn.newer.older = fn.older
	} else {
		r.newest = fn.older
	}
	if fn.older != nil {
		fn.older.newer = fn.newer
	} else {
		r.oldest = fn.newer
	}
	fn.newer, fn.older = nil, nil
	r.n--
}
