//go:build e2e

package local

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/pool"
)

// Large runs of the tests of forked processes, at the size that justifies templates
// and zygotes as defaults. Other tests run the same checks on a few processes.

// lottery draws random values in every way that packages do, and returns the bytes
// that must differ between processes, including values drawn when the module was
// loaded.
const lottery = `const crypto = require('node:crypto'), { webcrypto, randomUUID, randomInt, randomBytes } = crypto, { random } = Math;
// As nanoid does.
let pool, at;
const fill = (bytes) => {
  if (!pool || pool.length < bytes) { pool = Buffer.allocUnsafe(bytes * 128); webcrypto.getRandomValues(pool); at = 0; }
  else if (at + bytes > pool.length) { webcrypto.getRandomValues(pool); at = 0; }
  at += bytes;
};
const nanoid = (size = 21) => { fill(size |= 0); let id = ''; for (let i = at - size; i < at; i++) id += 'useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict'[pool[i] & 63]; return id; };
// As uuid does.
const rnds8 = new Uint8Array(256);
let next = rnds8.length;
const uuid = () => { if (next > rnds8.length - 16) { crypto.randomFillSync(rnds8); next = 0; } return Buffer.from(rnds8.slice(next, next += 16)).toString('hex'); };
// As uuid does where it has a pool of its own, filled at once.
const early = crypto.randomFillSync(Buffer.alloc(4096));
let used = 0;
const drawn = () => early.subarray(used, used += 16).toString('hex');
for (let i = 0; i < 3; i++) { nanoid(); uuid(); drawn(); random(); randomUUID(); webcrypto.randomUUID(); randomInt(2 ** 47); randomBytes(8); }
module.exports = (req, res) => res.end(JSON.stringify({ env: process.env.WHO, random: [
  nanoid(), uuid(), drawn(), random(), Math.random(), Math.random().toString(36), randomUUID(), crypto.randomUUID(), webcrypto.randomUUID(),
  'int ' + randomInt(2 ** 47), 'of 2 ' + Array.from({ length: 48 }, () => randomInt(2)).join(''), randomBytes(16).toString('hex'),
  Buffer.from(webcrypto.getRandomValues(new Uint8Array(16))).toString('hex'), crypto.randomFillSync(Buffer.alloc(16)).toString('hex'),
].map(String) }));
`

// winners maps each drawn value to the process that drew it.
type winners struct {
	t testing.TB

	mu   sync.Mutex // guards the fields below
	seen map[string]int
}

// draw makes one forked process draw values.
func (w *winners) draw(i *instance.Instance, fork int) {
	values := askProbe(w.t, i, "/").Random
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(values) < 10 {
		w.t.Errorf("process %d drew only %q", fork, values)
	}
	for _, value := range values {
		if before, again := w.seen[value]; again {
			w.t.Errorf("processes %d and %d both drew %s", before, fork, value)
		}
		w.seen[value] = fork
	}
}

// each calls f for a number of processes, a few at a time.
func each(forks int, f func(fork int)) {
	var all sync.WaitGroup
	for worker := range 2 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for fork := worker; fork < forks; fork += 2 * runtime.GOMAXPROCS(0) {
				f(fork)
			}
		})
	}
	all.Wait()
}

// TestAThousandForkedProcessesNeverDrawTheSame draws from processes of every kind of
// fork.
func TestAThousandForkedProcessesNeverDrawTheSame(t *testing.T) {
	const forks = 1000
	for _, version := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run("templates "+version, func(t *testing.T) {
			s, spec := newLottery(t, version)
			own, _ := s.templates.Memory(s.templates.Of(spec))
			s.templates.SetLimit(own) // no memory for standbys
			drawn := winners{t: t, seen: map[string]int{}}
			each(forks, func(fork int) {
				i := s.start(spec, lateen.StartTemplate)
				drawn.draw(i, fork)
				end(i)
			})
		})
		t.Run("standbys "+version, func(t *testing.T) {
			s, spec := newLottery(t, version)
			drawn := winners{t: t, seen: map[string]int{}}
			for fork := range forks {
				standby := s.awaitStandby(spec)
				i := s.start(spec, lateen.StartTemplate)
				if i.Process != standby {
					t.Fatal("the process is not the standby")
				}
				drawn.draw(i, fork)
				end(i)
			}
		})
		t.Run("zygotes "+version, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("lottery", version, lottery)
			r := s.makeZygote(spec)
			drawn := winners{t: t, seen: map[string]int{}}
			each(forks, func(fork int) {
				w := s.zygotes.Fork(t.Context(), r)
				for ; w == nil && t.Context().Err() == nil; w = s.zygotes.Fork(t.Context(), r) { // the zygote is being replaced
					pool.Pause(t.Context(), 10*time.Millisecond)
				}
				i := s.loadInto(w, spec)
				drawn.draw(i, fork)
				end(i)
			})
		})
	}
}

// newLottery returns a function with a template that draws values.
func newLottery(t *testing.T, version string) (*stage, lateen.FunctionSpec) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("lottery", version, lottery)
	if err := s.addTemplate(spec); err != nil {
		t.Fatal(err)
	}
	return s, spec
}

// TestHundredsOfTemplatesForkThousandsOfProcesses fills the memory with templates and
// replaces them; no forked process may crash.
func TestHundredsOfTemplatesForkThousandsOfProcesses(t *testing.T) {
	needForks(t)
	const functions, forks = 200, 10
	s := newStage(t, nil)
	drawn := winners{t: t, seen: map[string]int{}}
	each(functions, func(n int) {
		name := fmt.Sprintf("many%d", n)
		spec := s.function(name, "nodejs24.x", lottery)
		if err := s.addTemplate(spec); err != nil {
			t.Error(err)
			return
		}
		for fork := range forks {
			i := s.start(spec, lateen.StartTemplate)
			if got := askProbe(t, i, "/"); got.Env != name {
				t.Errorf("%s was answered by %s", name, got.Env)
			}
			drawn.draw(i, n*forks+fork)
			end(i)
		}
	})
}
