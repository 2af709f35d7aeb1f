package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

func TestTierIsTheShortestWayThereIs(t *testing.T) {
	const short, long = templateFrom, templateFrom + 1
	for _, c := range []struct {
		hand atHand
		want lateen.StartKind
	}{
		{atHand{}, lateen.StartCold},
		{atHand{blank: true}, lateen.StartBlank},
		{atHand{blank: true, cost: long}, lateen.StartBlank},
		{atHand{template: true}, lateen.StartTemplate},
		{atHand{template: true, blank: true}, lateen.StartTemplate},
		{atHand{template: true, blank: true, cost: short}, lateen.StartBlank},
		{atHand{template: true, blank: true, cost: long}, lateen.StartTemplate},
		{atHand{template: true, cost: short}, lateen.StartTemplate},
	} {
		if got := tier(c.hand); got != c.want {
			t.Errorf("%+v: %s, want %s", c.hand, got, c.want)
		}
	}
}

func TestWhatWouldHelpAFunctionNext(t *testing.T) {
	const long = templateFrom + time.Millisecond
	for n, c := range []struct {
		learned learned
		want    course
	}{
		{learned{}, compile},
		{learned{cost: long, templates: true}, compile}, // what it costs with an archive comes first
		{learned{archived: true}, rest},
		{learned{archived: true, visits: 1}, recast},
		{learned{archived: true, visits: 1, refined: true}, rest},
		{learned{archived: true, refined: true, cost: long, templates: true}, shape},
		{learned{refined: true, cost: long, templates: true}, shape}, // there was nothing to archive
		{learned{archived: true, refined: true, cost: templateFrom, templates: true}, rest},
		{learned{archived: true, refined: true, cost: long}, rest},
		{learned{archived: true, refined: true, cost: long, templates: true, template: true}, rest},
		{learned{archived: true, refined: true, cost: long, templates: true, forkable: whenLoaded}, shape},
		{learned{archived: true, refined: true, cost: long, templates: true, forkable: never}, rest},
	} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if got := next(c.learned); got != c.want {
				t.Errorf("%+v: %d, want %d", c.learned, got, c.want)
			}
		})
	}
}

func TestVisitsAreGuessedByName(t *testing.T) {
	for name, want := range map[string]string{
		"index": "/", "dynamic": "/dynamic", "api/hello": "/api/hello", "/about/index": "/about", "__fallback": "/", "_render": "/", "posts/[id]": "/",
	} {
		if got := guess(name).path; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
