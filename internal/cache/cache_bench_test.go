package cache_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
)

// BenchmarkGet looks up an entry of 8 KB, determines its state and reads its body.
func BenchmarkGet(b *testing.B) {
	for name, o := range map[string]cache.Options{"memory": {}, "disk": {MaxInline: 1}} {
		b.Run(name, func(b *testing.B) {
			c := running(b, o)
			keep(b, c, home, page{body: strings.Repeat("8 bytes ", 1000), fresh: -1, group: "1", tags: []string{"a", "b", "c", "d", "e"}})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					e := c.Get(home)
					if e == nil {
						b.Error("there is no entry")
						return
					}
					if state, _ := c.State(home.Scope, e, time.Now()); state != cache.Fresh {
						b.Error("the entry is not fresh")
					}
					if _, err := io.Copy(io.Discard, e.Body()); err != nil {
						b.Error(err)
					}
					e.Close()
				}
			})
		})
	}
}

// BenchmarkKeep fills and stores an entry of 8 KB, durably.
func BenchmarkKeep(b *testing.B) {
	c := running(b, cache.Options{})
	p := page{body: strings.Repeat("8 bytes ", 1000), fresh: -1}
	for b.Loop() {
		keep(b, c, home, p)
	}
}
