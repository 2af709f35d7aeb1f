package learn

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
)

func TestFailedPreparationsBackOff(t *testing.T) {
	var a Profile
	if !a.due(time.Now()) {
		t.Error("not due before any preparation")
	}
	for n, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, 64 * time.Minute, 64 * time.Minute} {
		a.record(instance.ErrHangs)
		if a.due(a.LastTried.Add(want-time.Second)) || !a.due(a.LastTried.Add(want)) {
			t.Errorf("after %d failures: not due after %v", n+1, want)
		}
	}
	if a.record(nil); !a.due(time.Now()) {
		t.Error("a success did not reset the failures")
	}
}

func TestReasonsHaveOneLineWithoutErrorsOfTheHost(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"": nil, "it does not answer": fmt.Errorf("warm: %w", instance.ErrHangs), "it listens": fmt.Errorf("make: %w", process.RefusalError("it listens")),
		"see the platform's log": fmt.Errorf("open /var/lib/lateen/trees: %w", errors.ErrUnsupported),
		"it threw":               fmt.Errorf("load /var/lib: %w", lateen.ErrFunctionFailed.With("it threw\n    at /var/task/x.js")),
		strings.Repeat("ä", 150): process.RefusalError(strings.Repeat("ä", 150) + "…"),
		strings.Repeat("x", 299): process.RefusalError(strings.Repeat("x", 299) + "ä"),
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: reason %q, want %q", err, got, want)
		}
	}
}

func TestALookupCreatesNoProfile(t *testing.T) {
	var all profiles
	if a := all.lookup("dpl_1/index"); a.Cost != 0 || len(all.all) > 0 {
		t.Errorf("an unknown function has the profile %+v, of %d", a, len(all.all))
	}
}
