//go:build linux && e2e

package hostile_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/wasi"
)

const hostileModule = "module.wasm"

func asModule(s *lateen.FunctionSpec) { s.Function.Runtime, s.Function.Memory = wasi.Runtime, 64 }

// module is hostile WebAssembly, which runs in the platform's own process.
func (p *platform) module(t *testing.T) {
	f := p.start(t, "hostile", hostileModule, asModule)
	paths := []string{p.data + "/key", p.dir, p.trees + "/neighbour/secret.txt", "/../neighbour/secret.txt", "/etc/passwd", "/proc/self/environ", "/neighbour.cjs"}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Paths", strings.Join(paths, ", "))
	resp, err := f.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got outcomes
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	const own = "/neighbour.cjs" // of its own tree
	got.want(t, "(?i).*(no such file|not permitted|permission denied|invalid|not implemented|not supported|bad file|capabilities).*", map[string]string{
		"read " + own: "done", "read from above " + own: ".*", "list " + own: "(?i).*not a dir.*",
	})
	before := p.heap()
	for how, want := range map[string]error{"/bomb": lateen.ErrFunctionFailed, "/head": lateen.ErrFunctionFailed, "/lines": nil} {
		if _, err := f.try(t.Context(), how); !errors.Is(err, want) {
			t.Errorf("%s: the error is %v, want %v", how, err, want)
		}
	}
	p.meanwhile(t, func(ctx context.Context) {
		var all sync.WaitGroup
		for n := range 24 {
			how := []string{"/loop", "/loop", "/endless"}[n%3]
			all.Go(func() {
				if _, err := f.try(ctx, how); !errors.Is(err, lateen.ErrFunctionTimeout) {
					t.Errorf("%s: the error is %v", how, err)
				}
			})
		}
		all.Wait()
	})
	until(t, "all of it is over", func() bool { return f.Busy() == 0 })
	if grown := p.heap() - before; grown > 100<<20 {
		t.Errorf("the platform has %d MiB more of it", grown>>20)
	}
	if f.Usage().Peak > 64<<20 {
		t.Errorf("it has used %d bytes", f.Usage().Peak)
	}
}
