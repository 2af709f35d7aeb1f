package local

import (
	"testing"

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
