//go:build e2e

package local

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/pool"
)

// The gates of processes that are forked, at the size that templates and zygotes
// are on by default for. Other tests hold a few children to the same.

// lottery draws at random in every way that packages do, and tells the bytes of
// which each value must be another in each process: what was drawn when it was
// loaded was drawn to be used up later.
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

// winners are all values that were drawn, and by which child.
type winners struct {
	t testing.TB

	mu   sync.Mutex // guards below
	seen map[string]int
}

// draw has a child draw.
func (w *winners) draw(i *instance, child int) {
	values := consult(w.t, i, "/").Random
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(values) < 10 {
		w.t.Errorf("child %d drew but %q", child, values)
	}
	for _, value := range values {
		if before, again := w.seen[value]; again {
			w.t.Errorf("children %d and %d both drew %s", before, child, value)
		}
		w.seen[value] = child
	}
}

// each calls f for as many children, a few at once.
func each(children int, f func(child int)) {
	var all sync.WaitGroup
	for worker := range 2 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for child := worker; child < children; child += 2 * runtime.GOMAXPROCS(0) {
				f(child)
			}
		})
	}
	all.Wait()
}

// TestAThousandForkedProcessesNeverDrawTheSame has children drawn from by each of
// the ways that they come to be.
func TestAThousandForkedProcessesNeverDrawTheSame(t *testing.T) {
	const children = 1000
	for _, version := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run("templates "+version, func(t *testing.T) {
			s, spec := newLottery(t, version)
			s.templates.mu.Lock()
			s.templates.limit = s.templateOfLocked(spec).holds.template // none for spares
			s.templates.trimLocked()
			s.templates.mu.Unlock()
			drawn := winners{t: t, seen: map[string]int{}}
			each(children, func(child int) {
				i := s.start(spec, lateen.StartTemplate)
				drawn.draw(i, child)
				end(i)
			})
		})
		t.Run("spares "+version, func(t *testing.T) {
			s, spec := newLottery(t, version)
			defer s.rush.Enter()() // or others are bred beside
			drawn := winners{t: t, seen: map[string]int{}}
			template := s.templateOf(spec)
			for first := 0; first < children; first += 10 {
				raised := make(chan *worker, 10)
				each(cap(raised), func(int) {
					spare, err := s.Engine.raise(t.Context(), template)
					if err != nil {
						t.Error(err)
					}
					raised <- spare
				})
				for child := first; child < first+10; child++ {
					spare := <-raised
					s.templates.give(template, spare)
					i := s.start(spec, lateen.StartTemplate)
					if i.worker != spare {
						t.Fatal("it is not the spare")
					}
					drawn.draw(i, child)
					end(i)
				}
			}
		})
		t.Run("zygotes "+version, func(t *testing.T) {
			s := newStage(t, nil)
			spec := s.function("lottery", version, lottery)
			r := s.breed(spec)
			drawn := winners{t: t, seen: map[string]int{}}
			each(children, func(child int) {
				w := s.bear(t.Context(), r)
				for ; w == nil && t.Context().Err() == nil; w = s.bear(t.Context(), r) { // it is being replaced
					pool.Pause(t.Context(), 10*time.Millisecond)
				}
				i := s.raise(w, spec)
				drawn.draw(i, child)
				end(i)
			})
		})
	}
}

// newLottery has a function with a template that draws.
func newLottery(t *testing.T, version string) (*stage, lateen.FunctionSpec) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("lottery", version, lottery)
	if err := s.mold(spec); err != nil {
		t.Fatal(err)
	}
	return s, spec
}

// TestHundredsOfTemplatesHaveThousandsOfChildren keeps as many templates as
// there is memory for, and replaces them; none of their children may crash.
func TestHundredsOfTemplatesHaveThousandsOfChildren(t *testing.T) {
	needForks(t)
	const functions, children = 200, 10
	s := newStage(t, nil)
	drawn := winners{t: t, seen: map[string]int{}}
	each(functions, func(n int) {
		name := fmt.Sprintf("many%d", n)
		spec := s.function(name, "nodejs24.x", lottery)
		if err := s.mold(spec); err != nil {
			t.Error(err)
			return
		}
		for child := range children {
			i := s.start(spec, lateen.StartTemplate)
			if got := consult(t, i, "/"); got.Env != name {
				t.Errorf("%s was answered by %s", name, got.Env)
			}
			drawn.draw(i, n*children+child)
			end(i)
		}
	})
}
