package learn

import (
	"fmt"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/template"
)

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
		{preparedState{cached: true, trained: true, cost: long, templates: true, forkable: WhenLoaded}, actionTemplate},
		{preparedState{cached: true, trained: true, cost: long, templates: true, forkable: Never}, actionNone},
	} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if got := nextAction(c.learned); got != c.want {
				t.Errorf("%+v: %d, want %d", c.learned, got, c.want)
			}
		})
	}
}
