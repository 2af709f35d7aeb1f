package local

import (
	"time"

	"github.com/lateen-dev/lateen"
)

// defaultWorthwhile is how many bytes of archive save more than it takes to
// show it to a process, which is most of a millisecond.
const defaultWorthwhile = 32 << 10

// templateFrom is the start without a template from which on one is worth its
// memory: what is shorter, a blank process does as fast.
const templateFrom = 15 * time.Millisecond

// atHand is what there is to start a function from.
type atHand struct {
	template bool          // a template of it
	blank    bool          // a blank process of its runtime
	cost     time.Duration // what a start from a blank process takes; 0 is unknown
}

// tier decides how a function is started: the shortest way there is.
func tier(h atHand) lateen.StartKind {
	switch {
	case h.template && (!h.blank || h.cost == 0 || h.cost > templateFrom):
		return lateen.StartTemplate
	case h.blank:
		return lateen.StartBlank
	default:
		return lateen.StartCold
	}
}

// course is what to do for a function after a start.
type course int

const (
	rest    course = iota
	compile        // make an archive
	recast         // make an archive anew, now that requests are known that warm it up
	shape          // make a template
)

// learned is what decides about that.
type learned struct {
	archived  bool          // it has an archive
	refined   bool          // made after requests as it gets them
	visits    int           // how many such requests are known
	cost      time.Duration // of a start from a blank process, with the archive if there is one; 0 is unknown
	template  bool          // it has one
	templates bool          // templates are made
	forkable  forkability
}

// next decides what would make later starts of a function cheaper.
func next(l learned) course {
	switch {
	case !l.archived && !l.refined:
		return compile
	case !l.refined && l.visits > 0:
		return recast
	case l.templates && !l.template && l.forkable != never && l.cost > templateFrom:
		return shape
	default:
		return rest
	}
}
