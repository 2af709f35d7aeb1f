package jsregexp_test

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lateen-dev/lateen/internal/jsregexp"
)

func program(t *testing.T, source string) *jsregexp.Regexp {
	t.Helper()
	tree, err := jsregexp.Parse(source, true)
	if err != nil {
		t.Fatal(err)
	}
	re, err := tree.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return re
}

func TestARepetitionOfAnEmptyExpressionCompilesQuickly(t *testing.T) {
	for _, source := range []string{
		`^(?:(?:(?:){2147483647}){2147483647}){2147483647}$`,
		`^(?:(?:(?:ab){0}){2147483647}){2147483647}$`,
		`^(?:(?:(?:)|){0}){2147483647}$`,
	} {
		steps := 1000
		if ok, err := program(t, source).Match("", &steps, nil); !ok || err != nil {
			t.Errorf("%s: %v, %v", source, ok, err)
		}
	}
}

// The time of a step must not grow with the number of groups.
func TestGroupsThatBeginUnsetTakeSteps(t *testing.T) {
	text := strings.Repeat("x", 10)
	few, many := 1_000_000, 1_000_000
	for source, steps := range map[string]*int{
		`^(?:x|()())*$`: &few,
		`^(?:x|` + strings.Repeat("()", 1000) + `)*$`: &many,
	} {
		if ok, err := program(t, source).Match(text, steps, nil); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if took := 1_000_000 - many; took < 10*1000 || many >= few {
		t.Errorf("1000 groups in 10 rounds took %d steps", took)
	}
}

func TestABackReferenceTakesAStepForEachGroup(t *testing.T) {
	source := `^(?:` + strings.Repeat(`(?<a>y)|`, 200) + `x)(?:\k<a>x){100}$`
	steps := 1_000_000
	if ok, err := program(t, source).Match(strings.Repeat("x", 101), &steps, nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if took := 1_000_000 - steps; took < 200*100 {
		t.Errorf("100 references to one of 200 groups took %d steps", took)
	}
}

func TestGroupsTakeStepsAtEveryPosition(t *testing.T) {
	source := `y` + strings.Repeat("()", 1000)
	steps := 1_000_000
	if _, err := program(t, source).Match(strings.Repeat("x", 10_000), &steps, nil); !errors.Is(err, jsregexp.ErrTooLong) {
		t.Errorf("it took %d steps: %v", 1_000_000-steps, err)
	}
}

func TestConcurrentMatchesHaveABoundedNumberOfLargeStacks(t *testing.T) {
	re := program(t, `^/(?:((((a))))|b)*(?=x)$`)
	text := "/" + strings.Repeat("a", 30_000)
	var peak atomic.Uint64
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			steps := 550_000
			_, _ = re.Match(text, &steps, nil) // no match
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			for old := peak.Load(); now.HeapInuse > old && !peak.CompareAndSwap(old, now.HeapInuse); old = peak.Load() {
			}
		})
	}
	all.Wait()
	if got := peak.Load() >> 20; got > 256 {
		t.Errorf("60 matches had %d MiB", got)
	}
}

func TestLoopsTakeStepsAtEveryPosition(t *testing.T) {
	source := `y` + strings.Repeat("(?:a?)*", 1000)
	steps := 1_000_000
	if _, err := program(t, source).Match(strings.Repeat("x", 10_000), &steps, nil); !errors.Is(err, jsregexp.ErrTooLong) {
		t.Errorf("it took %d steps: %v", 1_000_000-steps, err)
	}
}
