package local

import (
	"testing"

	"github.com/lateen-dev/lateen"
)

// collects tells how often V8 has collected all garbage of a process that does
// nothing for longer than it waits for that (--gc-memory-reducer-start-delay-ms, 8 s).
const collects = `const { PerformanceObserver, constants: { NODE_PERFORMANCE_GC_MINOR } } = require('node:perf_hooks');
module.exports = (req, res) => {
  const failed = [];
  new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) if (detail.kind !== NODE_PERFORMANCE_GC_MINOR) failed.push('kind ' + detail.kind);
  }).observe({ entryTypes: ['gc'] });
  setTimeout(() => res.end(JSON.stringify({ failed })), req.url === '/idle' ? 10_000 : 0);
};
`

// A process that forks stands still for longer than that, so that all its children
// would begin with a collection.
func TestForkedProcessesDoNotCollectGarbageForLackOfWork(t *testing.T) {
	needForks(t)
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, nil)
			spec := s.function("forked", runtime, collects)
			if err := s.mold(spec); err != nil {
				t.Fatal(err)
			}
			children := map[string]*instance{"template": s.start(spec, lateen.StartTemplate)}
			if s.Zygotes() == nil {
				children["zygote"] = s.birth(s.breed(spec), spec)
			}
			for parent, child := range children {
				t.Run(parent, func(t *testing.T) {
					t.Parallel()
					if got := consult(t, child, "/idle").Failed; len(got) > 0 {
						t.Errorf("it collects: %q", got)
					}
				})
			}
		})
	}
}
