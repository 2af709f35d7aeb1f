package local

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

// BenchmarkBurst starts many idle functions at once: first without a history, then
// after the pool has learned the demand.
func BenchmarkBurst(b *testing.B) {
	const functions = 100
	for b.Loop() {
		s, e := newSuite(b)
		for _, when := range []string{"first", "again"} {
			awaitPool(b, e)
			before := e.Pools()
			began := time.Now()
			took := burst(b, s.Engine, functions)
			slices.Sort(took)
			ms := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
			b.ReportMetric(ms(0.5), when+"-p50-ms")
			b.ReportMetric(ms(0.95), when+"-p95-ms")
			b.ReportMetric(ms(1), when+"-max-ms")
			after := e.Pools()
			b.ReportMetric(float64(after.Blank-before.Blank), when+"-blank")
			refill := time.Now()
			awaitPool(b, e)
			settled := e.Pools()
			b.ReportMetric(float64(settled.Ready-after.Ready)/time.Since(refill).Seconds(), when+"-refill/s")
			b.Logf("%s: %v, before %+v, after %+v, then %+v", when, time.Since(began), before, after, settled)
		}
		b.ReportMetric(0, "ns/op")
	}
}

// burst starts functions at once, and returns the duration of each to its first
// byte.
func burst(b *testing.B, e engine.Engine, functions int) []time.Duration {
	b.Helper()
	took := make([]time.Duration, functions)
	var all sync.WaitGroup
	began := time.Now()
	for n := range functions {
		all.Go(func() {
			spec := enginetest.Spec("exports", "cjs.js", nil)
			spec.Name = fmt.Sprint("/", n)
			i, err := e.Start(b.Context(), spec)
			if err != nil {
				b.Error(err)
				return
			}
			get(b, i)
			took[n] = time.Since(began)
			b.Cleanup(func() { end(i) })
		})
	}
	all.Wait()
	return took
}
