package cache

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// Each page may have MaxInline bytes in memory, and one fill may request any number
// of pages.
func TestAFillHoldsNoFinishedPagesThatItRequested(t *testing.T) {
	c, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	defer running.Wait()
	defer cancel()
	generate := func(context.Context) (*Response, error) {
		return &Response{Entry: &Entry{Status: 200, Fresh: -1}, Body: io.NopCloser(strings.NewReader("page")), Length: -1, Reuse: ReuseStored}, nil
	}
	held := -1
	crawler := Fill{ID: "crawler", Generate: func(ctx context.Context) (*Response, error) {
		for n := range 20 {
			f, leader, err := c.Fill(ctx, NewKey("dpl_1", fmt.Sprint(n)), Fill{Within: "crawler", Generate: generate})
			if err != nil || !leader {
				return nil, fmt.Errorf("page %d: leader is %v: %w", n, leader, err)
			}
			f.Leave()
			if _, err := f.Wait(ctx); err != nil {
				return nil, err
			}
		}
		c.flights.mu.Lock()
		defer c.flights.mu.Unlock()
		held = len(c.flights.byID["crawler"].waitsFor)
		return generate(ctx)
	}}
	f, _, err := c.Fill(ctx, NewKey("dpl_1", "crawler"), crawler)
	if err != nil {
		t.Fatal(err)
	}
	f.Leave()
	if _, err := f.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if held != 0 {
		t.Errorf("the fill holds %d finished pages, want none", held)
	}
}
