//go:build e2e

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wakers are requests to different functions of the functions example, each of
// which answers 200.
var wakers = []string{
	"/api/hello", "/api/typed", "/api/commonjs", "/api/raw", "/api/fetch", "/api/methods", "/api/listen", "/api/users/7", "/api/env",
	"/api/headers", "/api/helpers", "/api/instance", "/api/edge", "/api/where", "/api/log", "/api/tmp", "/api/send?as=bytes", "/guarded/note.txt?key=sesame",
}

func TestTheFirstRequestAfterIdleNeverFails(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_KEEP_ALIVE=1s")
	s := lateenCLI(t, p, project(t, "functions", "sleeper", "preview")).deploy("deploy")
	var asked, failed atomic.Int64
	ask := func(path string) {
		asked.Add(1)
		if r, err := s.try(t, http.MethodGet, path, nil); err != nil || r.Status != http.StatusOK {
			failed.Add(1)
			t.Errorf("%s: %v %+v", path, err, r)
		}
	}

	t.Run("all at once", func(t *testing.T) {
		wakes := 0
		for round := range 12 {
			eventually(t, func() error {
				if n := p.metric(t, "lateen_instances"); n != 0 {
					return fmt.Errorf("%v instances are still there", n)
				}
				return nil
			})
			var all sync.WaitGroup
			for _, path := range wakers {
				wakes++
				for range 1 + rand.IntN(4) {
					all.Go(func() { ask(path) })
				}
			}
			if round%3 == 2 {
				all.Go(func() {
					dir := filepath.Join(t.TempDir(), "meanwhile")
					voyage(t, dir, "preview", fmt.Sprint("round ", round))
					lateenCLI(t, p, dir).deploy("deploy", "--yes").says(t, fmt.Sprint("round ", round))
				})
			}
			all.Wait()
		}
		t.Logf("%d functions woken", wakes)
	})
	// As an instance is about to go, a request is about to come.
	t.Run("at the last moment", func(t *testing.T) {
		var all sync.WaitGroup
		for _, path := range wakers[:8] {
			all.Go(func() {
				for range 15 {
					ask(path)
					<-time.After(time.Second + rand.N(40*time.Millisecond) - 10*time.Millisecond)
				}
			})
		}
		all.Wait()
	})
	t.Logf("%d requests, %d failed", asked.Load(), failed.Load())
}
