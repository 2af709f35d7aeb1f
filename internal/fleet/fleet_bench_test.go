package fleet_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// instantEngine starts instances that answer at once, so that a benchmark measures
// the fleet alone.
type instantEngine struct{ fakeEngine }

func (e *instantEngine) Start(context.Context, lateen.FunctionSpec) (engine.Instance, error) {
	return &instantInstance{fakeInstance{engine: &e.fakeEngine, id: "ins_1", done: make(chan struct{})}}, nil
}

type instantInstance struct{ fakeInstance }

func (*instantInstance) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// BenchmarkInvoke measures the overhead of the fleet for a request to a warm
// instance.
func BenchmarkInvoke(b *testing.B) {
	f := fleet.New(fleet.Options{Engine: &instantEngine{}})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-ended })
	s := spec("/a")
	invoke := func() {
		var inv lateen.Invocation
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://site/", http.NoBody)
		if err != nil {
			b.Error(err)
			return
		}
		resp, err := f.Invoke(ctx, s, req, &inv)
		if err != nil {
			b.Error(err)
			return
		}
		resp.Body.Close()
	}
	invoke()
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			invoke()
		}
	})
	b.Run("in parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				invoke()
			}
		})
	})
}
