package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
)

// grouped is a cache fill with the group members "data" and more. The body of each
// member has the number of responses before it. order collects the names in the
// order of the fills.
func grouped(order *[]string, first page) cache.Fill {
	member := func(name string) cache.Member {
		return cache.Member{Key: cache.NewKey("dpl_1", name), Generate: func(ctx context.Context) (*cache.Response, error) {
			*order = append(*order, name)
			return page{body: fmt.Sprint(name, " after ", len(*order)-1), fresh: -1, use: cache.ReuseStored}.making().Generate(ctx)
		}}
	}
	how := first.making()
	ask := how.Generate
	how.Generate = func(ctx context.Context) (*cache.Response, error) {
		*order = append(*order, "first")
		return ask(ctx)
	}
	how.Group = []cache.Member{member("data"), member("more")}
	return how
}

func TestAGroupIsFilledByOneRun(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		var order []string
		p := page{body: "page", fresh: -1, use: cache.ReuseStored, hold: make(chan struct{})}
		f, _ := mustMake(t, c, home, grouped(&order, p))
		data := cache.NewKey("dpl_1", "data")
		g, leader := mustMake(t, c, data, cache.Fill{Generate: func(context.Context) (*cache.Response, error) {
			t.Error("the data was filled separately")
			return nil, errors.New("no")
		}})
		if leader || !g.Grouped() || f.Grouped() {
			t.Fatal("the data does not come from the running fill")
		}
		if c.Refresh(t.Context(), data, cache.Fill{}) {
			t.Error("the data is refreshed during the running fill")
		}
		time.Sleep(time.Second)
		f.Leave()
		close(p.hold)
		if got := wait(t.Context(), f) + ", " + wait(t.Context(), g); got != "page, data after 1" {
			t.Errorf("got %q", got)
		}
		synctest.Wait()
		if got := fmt.Sprint(order); got != "[first data more]" {
			t.Errorf("filled %s", got)
		}
		kept, other := c.Get(home), c.Get(cache.NewKey("dpl_1", "more"))
		if kept == nil || other == nil || !kept.Started.Equal(other.Started) {
			t.Fatalf("%v and %v have different start times", kept, other)
		}
		kept.Close()
		other.Close()
	})
}

func TestAGroupIsNotFilledIfItsFirstEntryIsNotStored(t *testing.T) {
	for name, c := range map[string]struct {
		page page
		want string
	}{
		"an error":           {page{err: errors.New("it crashed")}, "it crashed"},
		"a response for all": {page{body: "oops", use: cache.ReuseWaiting}, cache.ErrNotReusable.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			withCache(t, cache.Options{}, func(t *testing.T, cc *cache.Cache) {
				var order []string
				c.page.wait = make(chan struct{})
				f, _ := mustMake(t, cc, home, grouped(&order, c.page))
				f.Leave()
				g, _ := mustMake(t, cc, cache.NewKey("dpl_1", "data"), cache.Fill{})
				close(c.page.wait)
				if got := wait(t.Context(), g); got != c.want {
					t.Errorf("got %q", got)
				}
				synctest.Wait()
				if len(order) != 1 {
					t.Errorf("filled %s", order)
				}
			})
		})
	}
}

// A page may fetch its own data, which is a member of its group.
func TestAFillThatRequestsItsGroupFillsItSeparately(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		how := cache.Fill{ID: "id of page", Group: []cache.Member{{Key: cache.NewKey("dpl_1", "data"), Generate: page{body: "data", use: cache.ReuseStored}.making().Generate}}}
		how.Generate = func(ctx context.Context) (*cache.Response, error) {
			_, _, err := c.Fill(ctx, cache.NewKey("dpl_1", "data"), cache.Fill{Within: how.ID})
			return page{body: fmt.Sprint("page: ", err), use: cache.ReuseStored}.making().Generate(ctx)
		}
		f, _ := mustMake(t, c, home, how)
		f.Leave()
		if got, want := wait(t.Context(), f), "page: "+cache.ErrNotReusable.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
