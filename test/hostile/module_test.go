//go:build linux && e2e

package hostile_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/test/wasm"
)

const hostileModule = "module.wasm"

// moduleMemory is in MiB, and of the whole process.
const moduleMemory = 256

func asModule(s *lateen.FunctionSpec) {
	s.Function.Runtime, s.Function.Memory = wasi.Runtime, moduleMemory
}

// cutOff is how requests end whose time is over.
const cutOff = "cut off"

// moduleAttacks are those of WebAssembly.
func moduleAttacks() []attack {
	attacks := []attack{{"A program", (*platform).module, nil}}
	for _, bomb := range []struct {
		name string
		code []byte
		ends string // how its requests end, as a pattern
	}{
		{"Open files", wasm.OpenFiles(), cutOff},
		{"Line ends", wasm.LineEnds(8 << 20), cutOff},
		{"Tables", wasm.Tables(40, 10_000_000), "more than 256 MiB of memory"},
		{"Call stacks", wasm.Recurse(), "stack overflow|more than 256 MiB of memory"},
		{"Filled tables", wasm.FillTable(10_000_000), "cut off|more than 256 MiB of memory"},
		{"Compilation", wasm.ManyLoops(2000, 4000), cutOff}, // last: other modules of its project wait for it
	} {
		attacks = append(attacks, attack{bomb.name, func(p *platform, t *testing.T) { p.beside(t, bomb.name, bomb.code, bomb.ends) }, nil})
	}
	return attacks
}

// beside runs a module that uses something up, as six functions with two requests
// each, while the neighbour answers. Another project's module is compiled, starts
// and answers meanwhile, and the platform itself holds little of it.
func (p *platform) beside(t *testing.T, name string, code []byte, ends string) {
	bomb, other := strings.ToLower(strings.ReplaceAll(name, " ", "-"))+".wasm", "hello-"+strings.ToLower(strings.ReplaceAll(name, " ", "-"))+".wasm"
	for path, code := range map[string][]byte{"hostile/" + bomb: code, "neighbour/" + other: wasm.Hello("well", "")} {
		if err := os.WriteFile(filepath.Join(p.trees, path), code, 0o644); err != nil { //nolint:gosec // for functions
			t.Fatal(err)
		}
	}
	var ended sync.Map // by how
	spec := func(n int) func(*lateen.FunctionSpec) {
		return func(s *lateen.FunctionSpec) {
			asModule(s)
			s.Key += lateen.FunctionKey("-" + strconv.Itoa(n))
		}
	}
	for n := range 6 {
		if name != "Compilation" { // so that it begins with the requests
			if err := p.engine.Prepare(t.Context(), p.spec("hostile", bomb, spec(n))); err != nil {
				t.Fatal(err)
			}
		}
	}
	heap, open := p.heap(), descriptors(t)
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	var all sync.WaitGroup
	for n := range 6 {
		all.Go(func() {
			for ctx.Err() == nil {
				p.explode(ctx, bomb, spec(n), func(how string) { ended.Store(how, true) })
			}
		})
	}
	p.answers(t, other)
	if more := descriptors(t) - open; more > 600 {
		t.Errorf("the platform has %d descriptors more", more)
	}
	has := func() (wanted bool) {
		ended.Range(func(how, _ any) bool {
			wanted = wanted || regexp.MustCompile(ends).MatchString(how.(string))
			return true
		})
		return wanted
	}
	if !strings.HasPrefix(ends, cutOff) { // or the requests may go on until they are cut off
		comes(t, "a request ends with "+ends, has)
	}
	p.meanwhile(t, func(ctx context.Context) { <-ctx.Done() })
	stop(lateen.ErrFunctionTimeout)
	all.Wait()
	ended.Range(func(how, _ any) bool {
		t.Logf("it ended: %s", how)
		return true
	})
	if !has() {
		t.Errorf("none has ended with %s", ends)
	}
	if grown := p.heap() - heap; grown > 100<<20 {
		t.Errorf("the platform has %d MiB more of it", grown>>20)
	}
}

// answers starts a module of another project, which nothing has compiled yet.
func (p *platform) answers(t *testing.T, module string) {
	t.Helper()
	i, err := p.begin(t.Context(), "neighbour", module, asModule)
	if err != nil {
		t.Errorf("another project's module does not start: %v", err)
		return
	}
	f := &function{i, p}
	defer f.end()
	if got, err := f.try(t.Context(), "/"); err != nil || got != "well" {
		t.Errorf("another project's module answers %q, %v", got, err)
	}
}

// explode starts one of the functions of a hostile module and sends it two
// requests at once. It returns how they have ended.
func (p *platform) explode(ctx context.Context, handler string, spec func(*lateen.FunctionSpec), tell func(how string)) {
	i, err := p.begin(ctx, "hostile", handler, spec)
	if ctx.Err() != nil && err != nil {
		tell(cutOff)
		return
	}
	if err != nil {
		tell(err.Error())
		return
	}
	f := &function{i, p}
	defer f.end()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			_, err := f.try(ctx, "/")
			switch {
			case err == nil:
				tell("well")
			case ctx.Err() != nil:
				tell(cutOff)
			default:
				tell(err.Error())
			}
		})
	}
	both.Wait()
}

// module is hostile WebAssembly: a program with all attacks a module can try.
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
	if f.Usage().Peak > moduleMemory<<20 {
		t.Errorf("it has used %d bytes", f.Usage().Peak)
	}
}
