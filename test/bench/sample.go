package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// sample is how long something took, each time it was done.
type sample []time.Duration

// quantile is the value that a share q of the sample does not exceed (nearest
// rank), 0 for an empty one.
func (s sample) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[max(0, int(math.Ceil(q*float64(len(s))))-1)]
}

func (s sample) median() time.Duration { return s.quantile(0.5) }

// quantiles are the cells of a table: count, least, p50, p90, p99, most.
func (s sample) quantiles() []string {
	return []string{
		fmt.Sprint(len(s)), ms(s.quantile(0)), ms(s.median()), ms(s.quantile(0.9)), ms(s.quantile(0.99)), ms(s.quantile(1)),
	}
}

func median[T cmp.Ordered](list []T) T {
	var zero T
	if len(list) == 0 {
		return zero
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[(len(sorted)-1)/2]
}

func least[T cmp.Ordered](list []T) T { return slices.Min(list) }
func most[T cmp.Ordered](list []T) T  { return slices.Max(list) }

// ms is a duration in milliseconds with three digits that count.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case math.Abs(v) < 1:
		return fmt.Sprintf("%.3f", v)
	case math.Abs(v) < 10:
		return fmt.Sprintf("%.2f", v)
	case math.Abs(v) < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// mib is an amount of memory in MiB.
func mib(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }

// times is a ratio: "1.24×"; "–" where there is nothing to compare with.
func times(a, b float64) string {
	if b == 0 || a == 0 {
		return none
	}
	return fmt.Sprintf("%.2f×", a/b)
}

// none is a cell without a number.
const none = "–"
