package cache_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lateen-dev/lateen/internal/cache"
)

// asking is a cache fill that requests other pages first. Its text is its name,
// followed by the text or error of each in brackets.
func asking(c *cache.Cache, name string, others ...string) cache.Fill {
	return meeting(c, name, nil, others...)
}

// meeting is like asking, but waits until meet is closed, unless meet is nil.
func meeting(c *cache.Cache, name string, meet chan struct{}, others ...string) cache.Fill {
	how := cache.Fill{ID: "id of " + name}
	how.Generate = func(ctx context.Context) (*cache.Response, error) {
		if meet != nil {
			<-meet
		}
		var text strings.Builder
		text.WriteString(name)
		for _, other := range others {
			text.WriteString("(" + ask(ctx, c, other, how.ID) + ")")
		}
		return page{body: text.String(), use: cache.ReuseStored}.making().Generate(ctx)
	}
	return how
}

// ask requests a page without requests of its own, or joins its flight, as part of
// within.
func ask(ctx context.Context, c *cache.Cache, name, within string) string {
	how := asking(c, name)
	how.Within = within
	f, leader, err := c.Fill(ctx, cache.NewKey("dpl_1", name), how)
	if err != nil {
		return err.Error()
	}
	if leader {
		defer f.Leave()
	}
	return wait(ctx, f)
}

func TestAFillThatRequestsItselfFailsAtOnce(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		f, _ := mustMake(t, c, cache.NewKey("dpl_1", "a"), asking(c, "a", "a"))
		f.Leave()
		if got, want := wait(t.Context(), f), "a("+cache.ErrCycle.Error()+")"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestFillsThatRequestEachOtherFailAtOnce(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		meet := make(chan struct{})
		f, _ := mustMake(t, c, cache.NewKey("dpl_1", "a"), meeting(c, "a", meet, "b"))
		g, _ := mustMake(t, c, cache.NewKey("dpl_1", "b"), meeting(c, "b", meet, "c"))
		h, _ := mustMake(t, c, cache.NewKey("dpl_1", "c"), meeting(c, "c", meet, "a"))
		for _, f := range []*cache.Flight{f, g, h} {
			f.Leave()
		}
		synctest.Wait()
		close(meet)
		told := 0
		for _, f := range []*cache.Flight{f, g, h} {
			if strings.Contains(wait(t.Context(), f), cache.ErrCycle.Error()) {
				told++
			}
		}
		if told != 3 { // one of them, and through it the other two
			t.Errorf("%d of 3 pages report the circle", told)
		}
	})
}

func TestAFillMayRequestPagesOfOtherFills(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		meet := make(chan struct{})
		f, _ := mustMake(t, c, cache.NewKey("dpl_1", "b"), meeting(c, "b", meet))
		g, _ := mustMake(t, c, cache.NewKey("dpl_1", "a"), asking(c, "a", "b", "c", "c"))
		f.Leave()
		g.Leave()
		synctest.Wait()
		close(meet)
		if got := wait(t.Context(), g); got != "a(b)(c)(c)" {
			t.Errorf("got %q", got)
		}
	})
}

// A fill that requests pages holds its place while it waits for them. The requested
// pages therefore need no places of their own.
func TestAPageRequestedByAFillNeedsNoPlace(t *testing.T) {
	withCache(t, cache.Options{MaxFills: 1}, func(t *testing.T, c *cache.Cache) {
		meet := make(chan struct{})
		f, _ := mustMake(t, c, cache.NewKey("dpl_1", "a"), meeting(c, "a", meet, "queued", "new"))
		synctest.Wait()
		g, _ := mustMake(t, c, cache.NewKey("dpl_1", "queued"), asking(c, "queued"))
		f.Leave()
		g.Leave()
		synctest.Wait()
		close(meet)
		if got := wait(t.Context(), f); got != "a(queued)(new)" {
			t.Errorf("got %q", got)
		}
	})
}
