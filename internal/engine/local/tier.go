package local

import (
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
)

// minCodeCache is the size, in bytes, above which a code cache saves more time
// than mounting it in a sandbox costs, which is most of a millisecond.
const minCodeCache = 32 << 10

// startOptions lists the available ways to start a function.
type startOptions struct {
	template bool          // the function has a template
	blank    bool          // its runtime has a blank process
	cost     time.Duration // CPU time of a start from a blank process; 0 is unknown
}

// tier selects the fastest available way to start a function.
func tier(h startOptions) lateen.StartKind {
	switch {
	case h.template && (!h.blank || h.cost == 0 || h.cost > template.MinCost):
		return lateen.StartTemplate
	case h.blank:
		return lateen.StartBlank
	default:
		return lateen.StartCold
	}
}

// action is the next preparation of a function.
type action int

const (
	actionNone      action = iota
	actionCompile          // make a code cache
	actionRecompile        // make a new code cache with the sample requests of real clients
	actionTemplate         // make a template
)

// preparedState holds the inputs of nextAction.
type preparedState struct {
	cached    bool          // the function has a code cache
	trained   bool          // the code cache was made with sample requests
	samples   int           // number of sample requests
	cost      time.Duration // CPU time of a start from a blank process, with the code cache if there is one; 0 is unknown
	template  bool          // the function has a template
	templates bool          // templates are enabled
	forkable  forkability
}

// nextAction selects the action that would make later starts of a function cheaper.
func nextAction(l preparedState) action {
	switch {
	case !l.cached && !l.trained:
		return actionCompile
	case !l.trained && l.samples > 0:
		return actionRecompile
	case l.templates && !l.template && l.forkable != never && l.cost > template.MinCost:
		return actionTemplate
	default:
		return actionNone
	}
}
