//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

var (
	desyncFor  = flag.Duration("desync", time.Minute, "how long the answers of each runtime are watched while its neighbours attack")
	desyncSeed = flag.Uint64("desync-seed", 0, "of the attacks; 0 is one of the clock's")
)

const (
	desyncAttackers = 3 // of each runtime, at once
	desyncVisitors  = 3
)

// desyncFunctions are the paths of functions.txtar.
var desyncFunctions = []string{"node", "listen", "web", "edge", "wsgi", "asgi", "handler", "bun", "server", "lambda", "module"}

// TestEveryVisitorGetsTheAnswerToItsOwnRequest: for any bytes that a neighbour sends
// on connections of its own, the edge and the function's process agree on the end of
// each message (RFC 9112 §11.2), so that visitors get their own answers and no
// request reaches a function past the edge.
func TestEveryVisitorGetsTheAnswerToItsOwnRequest(t *testing.T) {
	p := start(t, "LATEEN_POOL=1")
	s := deployDesync(t, p)
	seed := *desyncSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) //nolint:gosec // any will do
	}
	var all sync.WaitGroup
	for n, name := range desyncFunctions { // at once, however few processors there are
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				r := &desyncRun{site: s, path: "/" + name, seed: seed + uint64(n)*1000} //nolint:gosec // small
				r.run(t)
			})
		})
	}
	all.Wait()
}

func deployDesync(t *testing.T, p *platform) site {
	t.Helper()
	source := filepath.Join(root(t), "test", "e2e", "testdata", "desync")
	archive, err := txtar.ParseFile(filepath.Join(source, "functions.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range archive.Files {
		files["functions/"+f.Name] = string(f.Data)
	}
	dir := filepath.Join(t.TempDir(), "desync")
	output(t, dir, files)
	for to, c := range map[string]struct{ from, system, arch string }{
		"server.func/server":      {"server", "linux", runtime.GOARCH},
		"lambda.func/bootstrap":   {"server", "linux", runtime.GOARCH},
		"module.func/module.wasm": {"module", "wasip1", "wasm"},
	} {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w",
			"-o", filepath.Join(dir, ".vercel", "output", "functions", to), "./"+c.from)
		build.Dir = source
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+c.system, "GOARCH="+c.arch)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", to, err, out)
		}
	}
	return lateenCLI(t, p, dir).deploy("deploy", "--yes")
}

// desyncRun is a function that attackers and visitors call at the same time.
type desyncRun struct {
	site site
	path string
	seed uint64

	attacked, answered, throttled atomic.Int64

	mu     sync.Mutex // guards below
	recent []string   // attacks, the newest last
	faults int        // that were reported
	stop   func()     // ends it all
}

func (r *desyncRun) run(t *testing.T) {
	if err := r.visit(t.Context(), r.client(), 0, "GET"); err != nil { // which starts the function
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), *desyncFor)
	defer cancel()
	r.stop = cancel
	var all sync.WaitGroup
	for n := range desyncAttackers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(r.seed, uint64(n))) //nolint:gosec // reproducible on purpose
			for ctx.Err() == nil {
				r.attack(ctx, t, random)
			}
		})
	}
	for n := range desyncVisitors {
		all.Go(func() {
			c := r.client()
			defer c.CloseIdleConnections()
			for i := n; ctx.Err() == nil; i += desyncVisitors {
				if err := r.visit(t.Context(), c, i, []string{"GET", "POST", "HEAD", "PUT", "DELETE"}[i%5]); err != nil {
					r.report(t, err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d attacks, %d answers, %d refused as too many, seed %d", r.attacked.Load(), r.answered.Load(), r.throttled.Load(), r.seed)
	if r.answered.Load() == 0 || r.attacked.Load() == 0 {
		t.Error("nothing was tried")
	}
}

// report fails the test, with the attacks that came last.
func (r *desyncRun) report(t *testing.T, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.faults++; r.faults == 3 {
		r.stop()
	}
	t.Errorf("seed %d: %v\nafter:\n%s", r.seed, err, strings.Join(r.recent, "\n"))
}

func (r *desyncRun) client() *http.Client {
	transport := r.site.http.Transport.(*http.Transport).Clone() //nolint:forcetypeassert // newPlatform makes it
	return &http.Client{Transport: transport}
}

// visit sends request n and checks that the answer is to it.
func (r *desyncRun) visit(ctx context.Context, c *http.Client, n int, method string) error {
	token := fmt.Sprintf("honest-%d-%d", r.seed, n)
	url := r.path + "?n=" + token
	var body []byte
	if method == http.MethodPost || method == http.MethodPut {
		body = bytes.Repeat([]byte(token), n%200)
	}
	var from io.Reader
	if body != nil {
		from = bytes.NewReader(body)
		if n%2 == 0 {
			from = io.MultiReader(from) // of unknown length
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, r.site.address(url), from)
	if err != nil {
		return err
	}
	req.Header.Set("X-Token", token)
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.Header.Get("X-Vercel-Error") == "FUNCTION_THROTTLED" {
		r.throttled.Add(1)
		return nil
	}
	sum := sha256.Sum256(body)
	want := fmt.Sprintf("%s %s %s %d %x", method, url, token, len(body), sum[:8])
	if method == http.MethodHead {
		want = ""
	}
	got := [...]string{resp.Status, string(text), resp.Header.Get("X-Token"), resp.Header.Get("X-Bypassed")}
	if err != nil {
		return fmt.Errorf("%s %s: got %q: %w", method, url, got, err)
	}
	if got != [...]string{"200 OK", want, token, "0"} {
		return fmt.Errorf("%s %s: got %q, want %q", method, url, got, want)
	}
	r.answered.Add(1)
	return nil
}

// attack sends one attack on a connection of its own, and checks the responses.
func (r *desyncRun) attack(ctx context.Context, t *testing.T, random *rand.Rand) {
	host := fmt.Sprintf("%s:%d", r.site.host, r.site.port)
	a := newAssault(random, host, r.path)
	r.mu.Lock()
	if r.recent = append(r.recent, a.String()); len(r.recent) > 2*desyncAttackers {
		r.recent = r.recent[1:]
	}
	r.mu.Unlock()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.site.addr())
	if err != nil {
		return // it is over
	}
	defer conn.Close()
	came := make(chan []byte, 1)
	go func() {
		var all bytes.Buffer
		_, _ = io.Copy(&all, io.LimitReader(conn, 1<<20)) // until the deadline
		came <- all.Bytes()
	}()
	for _, part := range a.parts {
		if _, err := conn.Write(part); err != nil {
			break
		}
		select {
		case <-time.After(a.pause):
		case <-ctx.Done():
		}
	}
	if a.abort {
		conn.Close()
	} else {
		_ = conn.SetReadDeadline(time.Now().Add(a.limit)) // later bytes are not expected
	}
	if got := <-came; bytes.Contains(got, []byte("honest-")) {
		r.report(t, fmt.Errorf("an attacker got a visitor's answer: %.400q", got))
	}
	r.attacked.Add(1)
}
