package local

import (
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
)

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
