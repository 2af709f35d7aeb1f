package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
)

func TestTierIsTheFastestAvailable(t *testing.T) {
	const short, long = template.MinCost, template.MinCost + 1
	for _, c := range []struct {
		hand startOptions
		want lateen.StartKind
	}{
		{startOptions{}, lateen.StartCold},
		{startOptions{blank: true}, lateen.StartBlank},
		{startOptions{blank: true, cost: long}, lateen.StartBlank},
		{startOptions{template: true}, lateen.StartTemplate},
		{startOptions{template: true, blank: true}, lateen.StartTemplate},
		{startOptions{template: true, blank: true, cost: short}, lateen.StartBlank},
		{startOptions{template: true, blank: true, cost: long}, lateen.StartTemplate},
		{startOptions{template: true, cost: short}, lateen.StartTemplate},
	} {
		if got := tier(c.hand); got != c.want {
			t.Errorf("%+v: %s, want %s", c.hand, got, c.want)
		}
	}
}

func TestTheNextPreparationOfAFunction(t *testing.T) {
	const long = template.MinCost + time.Millisecond
	for n, c := range []struct {
		learned preparedState
		want    action
	}{
		{preparedState{}, actionCompile},
		{preparedState{cost: long, templates: true}, actionCompile}, // the cost with a code cache must be known first
		{preparedState{cached: true}, actionNone},
		{preparedState{cached: true, samples: 1}, actionRecompile},
		{preparedState{cached: true, samples: 1, trained: true}, actionNone},
		{preparedState{cached: true, trained: true, cost: long, templates: true}, actionTemplate},
		{preparedState{trained: true, cost: long, templates: true}, actionTemplate}, // there was nothing to compile
		{preparedState{cached: true, trained: true, cost: template.MinCost, templates: true}, actionNone},
		{preparedState{cached: true, trained: true, cost: long}, actionNone},
		{preparedState{cached: true, trained: true, cost: long, templates: true, template: true}, actionNone},
		{preparedState{cached: true, trained: true, cost: long, templates: true, forkable: whenLoaded}, actionTemplate},
		{preparedState{cached: true, trained: true, cost: long, templates: true, forkable: never}, actionNone},
	} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if got := nextAction(c.learned); got != c.want {
				t.Errorf("%+v: %d, want %d", c.learned, got, c.want)
			}
		})
	}
}
