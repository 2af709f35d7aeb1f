package learn

import (
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/template"
)

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
	forkable  Forkability
}

// nextAction selects the action that would make later starts of a function cheaper.
func nextAction(l preparedState) action {
	switch {
	case !l.cached && !l.trained:
		return actionCompile
	case !l.trained && l.samples > 0:
		return actionRecompile
	case l.templates && !l.template && l.forkable != Never && l.cost > template.MinCost:
		return actionTemplate
	default:
		return actionNone
	}
}
