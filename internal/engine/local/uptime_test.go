package local

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/learn"
)

func TestUptimeIsThatOfTheInstance(t *testing.T) {
	s := newStage(t, nil)
	spec := s.function("age", "nodejs24.x", "const { uptime } = process;\nmodule.exports = (req, res) => res.end(JSON.stringify([process.uptime(), uptime()]));\n")
	r, _, err := s.runtimeFor(&spec.Function)
	if err != nil {
		t.Fatal(err)
	}
	young := func(kind lateen.StartKind) {
		began := time.Now()
		resp, err := s.start(spec, kind).RoundTrip(to(t, http.MethodGet, "http://example.com/", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		since := time.Since(began).Seconds()
		var ages []float64
		if err := json.Unmarshal(text, &ages); err != nil || len(ages) != 2 {
			t.Fatalf("response %s: %v", text, err)
		}
		for _, age := range ages {
			if age <= 0 || age > since {
				t.Errorf("%s: uptime after %g s: %g s", kind, since, age)
			}
		}
	}
	waitFor(t, "a blank process is ready", r.Blanks.Ready)
	young(lateen.StartBlank)
	waitFor(t, "the engine has learned the cost of the start", func() (known bool) { // which addTemplate replaces
		s.learner.With(spec.Key, func(a *learn.Profile) { known = a.Cost > 0 })
		return known
	})
	if needForks(t); s.addTemplate(spec) != nil {
		t.Fatal("no template")
	}
	young(lateen.StartTemplate)
}
