package local

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
)

// collects returns the number of full garbage collections in a process that idles
// for longer than V8's delay (--gc-memory-reducer-start-delay-ms, 8 s).
const collects = `const { PerformanceObserver, constants: { NODE_PERFORMANCE_GC_MINOR } } = require('node:perf_hooks');
module.exports = (req, res) => {
  const failed = [];
  new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) if (detail.kind !== NODE_PERFORMANCE_GC_MINOR) failed.push('kind ' + detail.kind);
  }).observe({ entryTypes: ['gc'] });
  setTimeout(() => res.end(JSON.stringify({ failed })), req.url === '/idle' ? 10_000 : 0);
};
`

// A template waits for longer than that, so every forked process would begin with a
// collection.
func TestForkedProcessesDoNotCollectGarbageForLackOfWork(t *testing.T) {
	needForks(t)
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, nil)
			spec := s.function("forked", runtime, collects)
			if err := s.addTemplate(spec); err != nil {
				t.Fatal(err)
			}
			forks := map[string]*instance.Instance{"template": s.start(spec, lateen.StartTemplate)}
			if s.Zygotes() == nil {
				forks["zygote"] = s.forkFunction(s.makeZygote(spec), spec)
			}
			for parent, child := range forks {
				t.Run(parent, func(t *testing.T) {
					t.Parallel()
					if got := askProbe(t, child, "/idle").Failed; len(got) > 0 {
						t.Errorf("garbage collections: %q", got)
					}
				})
			}
		})
	}
}
