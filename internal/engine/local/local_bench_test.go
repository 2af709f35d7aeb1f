package local

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
)

// times collects durations and reports their quantiles.
type times []time.Duration

func (d times) report(b *testing.B) {
	b.Helper()
	slices.Sort(d)
	ms := func(q float64) float64 { return float64(d[int(q*float64(len(d)-1))].Microseconds()) / 1000 }
	b.ReportMetric(ms(0), "min-ms")
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(0, "ns/op") // meaningless beside the quantiles
}

// of reports the median under a name.
func (d times) of(b *testing.B, name string) {
	b.Helper()
	slices.Sort(d)
	b.ReportMetric(float64(d[len(d)/2].Microseconds())/1000, name+"-p50-ms")
}

func get(b *testing.B, i engine.Instance) time.Duration {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://example.com/", nil)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	resp, err := i.RoundTrip(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil && err != io.EOF {
		b.Fatal(err)
	}
	took := time.Since(began)
	io.Copy(io.Discard, resp.Body)
	return took
}

// BenchmarkColdStart measures from the decision to start a small function to the
// first byte of its first response, with a full pool.
func BenchmarkColdStart(b *testing.B) {
	for name, handler := range map[string]string{"cjs": "cjs.js", "esm": "esm.mjs", "fetch": "fetch.mjs"} {
		b.Run(name, func(b *testing.B) {
			s, e := newSuite(b)
			var took, claim, load times
			for b.Loop() {
				awaitPool(b, e)
				began := time.Now()
				i, err := s.Engine.Start(b.Context(), enginetest.Spec("exports", handler, nil))
				if err != nil {
					b.Fatal(err)
				}
				get(b, i)
				took = append(took, time.Since(began))
				claim, load = append(claim, i.Started().Claim), append(load, i.Started().Load)
				end(i)
			}
			took.report(b)
			claim.of(b, "claim")
			load.of(b, "load")
		})
	}
}

// BenchmarkBoot measures the boot of a blank process at normal priority.
func BenchmarkBoot(b *testing.B) {
	_, e := newSuite(b)
	var took times
	for b.Loop() {
		awaitPool(b, e)
		began := time.Now()
		w, err := e.host.Boot(b.Context(), process.BootOptions{Runner: e.node(newestNode)})
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		w.Kill()
		<-w.Exited
	}
	took.report(b)
}

// BenchmarkRoundTrip measures sequential requests to a running instance.
func BenchmarkRoundTrip(b *testing.B) {
	for name, handler := range map[string]string{"node": "cjs.js", "web": "fetch.mjs"} {
		b.Run(name, func(b *testing.B) {
			s, _ := newSuite(b)
			i, err := s.Engine.Start(b.Context(), enginetest.Spec("exports", handler, nil))
			if err != nil {
				b.Fatal(err)
			}
			defer end(i)
			for range 500 {
				get(b, i)
			}
			var took times
			b.ReportAllocs()
			for b.Loop() {
				took = append(took, get(b, i))
			}
			took.report(b)
		})
	}
}

// BenchmarkThroughput measures requests to a running instance, sixteen at a time.
func BenchmarkThroughput(b *testing.B) {
	s, _ := newSuite(b)
	i, err := s.Engine.Start(b.Context(), enginetest.Spec("exports", "cjs.js", nil))
	if err != nil {
		b.Fatal(err)
	}
	defer end(i)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			get(b, i)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func end(i engine.Instance) {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // also after the end of the benchmark's context
	cancel()
	i.Stop(ctx)
}
