package cache_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen/internal/cache"
)

// Under concurrent operations, no reader gets the body of another entry, and the
// index matches the files on disk.
func TestConcurrentOperations(t *testing.T) {
	dir := t.TempDir()
	c := running(t, cache.Options{Dir: dir, MaxInline: 2000, MaxMemory: 100_000, MaxBytes: 300_000})
	text := func(key string, n int) string { return strings.Repeat(fmt.Sprintf("%s %d;", key, n), 1+n%300) }
	whole := func(key string, e *cache.Entry, r io.Reader) {
		b, err := io.ReadAll(r)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			return
		}
		var n int
		if _, err := fmt.Sscanf(string(b), key+" %d;", &n); err != nil || string(b) != text(key, n) {
			t.Errorf("%s has %.40q", key, b)
		}
		if e != nil && e.Size != int64(len(b)) {
			t.Errorf("%s has %d bytes of %d", key, len(b), e.Size)
		}
	}
	one := func(rng *rand.Rand) {
		scope, name := fmt.Sprint("dpl_", rng.IntN(3)), fmt.Sprint("k", rng.IntN(20))
		key := cache.NewKey(scope, name)
		how := page{body: text(name, rng.IntN(1000)), fresh: -1, tags: []string{name}, group: name, use: cache.ReuseStored}.making()
		how.Propagation, how.Durable = cache.Propagation(rng.IntN(3)), rng.IntN(2) == 0
		switch n := rng.IntN(100); {
		case n < 50:
			if e := c.Get(key); e != nil {
				c.State(scope, e, e.Completed)
				whole(name, e, e.Body())
				e.Close()
			}
		case n < 70:
			f, leader, err := c.Fill(t.Context(), key, how)
			switch {
			case err != nil:
				t.Error(err)
			case leader:
				r := f.Body(t.Context())
				whole(name, nil, r)
				r.Close()
			default:
				e, err := f.Wait(t.Context())
				if err == nil {
					whole(name, e, e.Body())
					e.Close()
				} else if !errors.Is(err, cache.ErrNotReusable) {
					t.Error(err)
				}
			}
		case n < 90:
			c.Refresh(t.Context(), key, how)
		case n < 99:
			if err := c.Invalidate([]string{scope}, []string{name}, 0); err != nil {
				t.Error(err)
			}
		default:
			if err := c.Drop(scope); err != nil {
				t.Error(err)
			}
		}
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range 150 {
				one(rng)
			}
		})
	}
	all.Wait()
	for range 3 { // running fills have ended once their entries can be filled again
		for i := range 60 {
			keep(t, c, cache.NewKey(fmt.Sprint("dpl_", i%3), fmt.Sprint("k", i/3)), page{body: text(fmt.Sprint("k", i/3), 1), fresh: -1})
		}
	}
	var onDisk int64
	err := filepath.WalkDir(filepath.Join(dir, "entries"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, "invalidated") {
			info, err := d.Info()
			onDisk += info.Size()
			return err
		}
		return err
	})
	if err != nil || onDisk != c.Used() {
		t.Errorf("there are %d bytes, the index says %d (%v)", onDisk, c.Used(), err)
	}
}
