//go:build !race

package fleet_test

import (
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// The allocations of a warm request are its context and timer, its copy of the
// request, the call and the response body, besides those of the fake engine.
func TestAWarmRequestAllocatesLittle(t *testing.T) {
	h := run(t, fleet.Options{Engine: &instantEngine{}})
	s := spec("/a")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://site/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() {
		var inv lateen.Invocation
		resp, err := h.Invoke(t.Context(), s, req, &inv)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
	if n > 10 {
		t.Errorf("%v allocations, want 10 at most", n)
	}
}
