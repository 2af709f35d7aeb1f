package local

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/guest"
)

// hoarder returns its heap limit, and on demand produces much garbage besides 20 MB
// of live data, parts of which survive for a while.
const hoarder = `const v8 = require('node:v8');
const live = [];
for (let i = 0; i < 200000; i++) live.push({ i, s: 'x' + i });
const ring = new Array(200);
module.exports = (req, res) => {
  if (req.url === '/garbage') for (let n = 0; n < 6000; n++) {
    const piece = [];
    for (let j = 0; j < 400; j++) piece.push({ j, s: 'g' + j + n, o: [j] });
    ring[n % ring.length] = piece;
  }
  res.end(JSON.stringify({ limit: v8.getHeapStatistics().heap_size_limit, constrained: process.constrainedMemory(), available: process.availableMemory() }));
};
`

func TestTheHeapLimitIsThatOfTheFunction(t *testing.T) {
	if !guest.Forks() {
		t.Skip("this machine has no fork library, which sets the heap limit")
	}
	const memory = 256
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("hoarder", runtime, hoarder)
			spec.Function.Memory = memory
			instances := map[string]*instance.Instance{"booted": s.start(spec, "")}
			if s.Zygotes() == nil {
				instances["of a zygote"] = s.forkFunction(s.makeZygote(spec), spec)
			}
			if err := s.addTemplate(spec); err != nil {
				t.Fatal(err)
			}
			instances["of a template"] = s.start(spec, lateen.StartTemplate)
			for name, i := range instances {
				for _, path := range []string{"/", "/garbage"} {
					_, body := whole(t, i, to(t, http.MethodGet, path, nil))
					var got struct{ Limit, Constrained, Available int64 }
					if err := json.Unmarshal([]byte(body), &got); err != nil { //nolint:musttag // names fit but for case
						t.Fatal(err)
					}
					if got.Limit >= 2*memory<<20 || // includes V8's reserve for young objects
						got.Limit < memory<<19 || got.Constrained != memory<<20 || got.Available <= 0 || got.Available >= memory<<20 {
						t.Errorf("%s: %s", name, body)
					}
				}
			}
		})
	}
}
