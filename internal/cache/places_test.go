package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/cache"
)

// hang starts n cache fills of a tenant that do not end before gate is closed, and
// returns how many started.
func hang(t *testing.T, c *cache.Cache, tenant, scope string, n int, gate chan struct{}) (begun int) {
	t.Helper()
	for i := range n {
		f, _, err := c.Fill(t.Context(), keyOf(tenant, scope, fmt.Sprint("/", i)), page{wait: gate, use: cache.ReuseStored}.making())
		if errors.Is(err, cache.ErrBusy) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Leave()
		begun++
	}
	synctest.Wait()
	return begun
}

// makes reports whether a fill of an unblocked page runs now.
func makes(t *testing.T, c *cache.Cache, tenant, scope string) bool {
	t.Helper()
	f, _, err := c.Fill(t.Context(), keyOf(tenant, scope, "/quick"), page{body: "quick", use: cache.ReuseStored}.making())
	if err != nil {
		t.Fatal(err)
	}
	f.Leave()
	ended := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- wait(ctx, f) }()
	synctest.Wait()
	select {
	case got := <-ended:
		return got == "quick"
	default:
		return false
	}
}

func TestHangingFillsOfOneTenantDoNotBlockOthers(t *testing.T) {
	withCache(t, cache.Options{MaxFills: 16}, func(t *testing.T, c *cache.Cache) {
		gate := make(chan struct{})
		for _, scope := range []string{"dpl_1", "dpl_2", "dpl_3", "dpl_4", "dpl_5"} {
			hang(t, c, "busy", scope, 100, gate)
		}
		hang(t, c, "busy too", "dpl_6", 100, gate)
		if !makes(t, c, "quiet", "dpl_7") {
			t.Error("the page of an idle tenant waits for hanging fills of others")
		}
		close(gate)
	})
}

func TestHangingFillsOfOneScopeDoNotBlockOthers(t *testing.T) {
	withCache(t, cache.Options{MaxFills: 16}, func(t *testing.T, c *cache.Cache) {
		gate := make(chan struct{})
		hang(t, c, "prj_1", "preview", 100, gate)
		if !makes(t, c, "prj_1", "production") {
			t.Error("the page of a deployment waits for hanging fills of another deployment of the project")
		}
		close(gate)
	})
}

func TestHangingRefreshesOfOneTenantDoNotBlockOthers(t *testing.T) {
	withCache(t, cache.Options{MaxRefresh: 16}, func(t *testing.T, c *cache.Cache) {
		p := page{wait: make(chan struct{}), use: cache.ReuseStored}
		begun := map[string]int{}
		for i := range 100 {
			for _, scope := range []string{"dpl_1", "dpl_2", "dpl_3"} {
				if c.Refresh(t.Context(), keyOf("busy", scope, fmt.Sprint("/", i)), p.making()) {
					begun[scope]++
				}
			}
		}
		synctest.Wait()
		if diff := cmp.Diff(map[string]int{"dpl_1": 3, "dpl_2": 3, "dpl_3": 2}, begun); diff != "" { // half of all
			t.Errorf("refreshes of the busy tenant (-want +got):\n%s", diff)
		}
		if !c.Refresh(t.Context(), keyOf("quiet", "dpl_4", "/"), page{body: "new", use: cache.ReuseStored}.making()) {
			t.Error("a refresh of an idle tenant does not start")
		}
		synctest.Wait()
		if got := body(t, c, cache.NewKey("dpl_4", "/")); got != "new" {
			t.Errorf("its page is %q", got)
		}
		close(p.wait)
	})
}

func TestTheQueueOfOneTenantDoesNotBlockOthers(t *testing.T) {
	withCache(t, cache.Options{MaxFills: 4, MaxWaiting: 16}, func(t *testing.T, c *cache.Cache) {
		gate := make(chan struct{})
		if n := hang(t, c, "busy", "dpl_1", 100, gate); n != 8 {
			t.Errorf("%d fills of one tenant run or queue, want half of 16", n)
		}
		if !makes(t, c, "quiet", "dpl_2") {
			t.Error("a fill of another tenant is refused")
		}
		close(gate)
	})
}

func TestQueuedFillsOfTenantsTakeTurns(t *testing.T) {
	withCache(t, cache.Options{MaxFills: 1}, func(t *testing.T, c *cache.Cache) {
		gate := make(chan struct{})
		hang(t, c, "first", "dpl_0", 1, gate)
		var order []string
		ask := func(tenant, path string) {
			how := page{use: cache.ReuseStored}.making()
			own := how.Generate
			how.Generate = func(ctx context.Context) (*cache.Response, error) {
				order = append(order, tenant) // one fill runs at a time
				return own(ctx)
			}
			f, _ := mustMake(t, c, keyOf(tenant, "dpl_"+tenant, path), how)
			f.Leave()
			synctest.Wait()
		}
		for _, path := range []string{"/1", "/2", "/3"} {
			ask("much", path)
		}
		ask("little", "/1")
		close(gate)
		synctest.Wait()
		if diff := cmp.Diff([]string{"much", "little", "much", "much"}, order); diff != "" {
			t.Errorf("the order (-want +got):\n%s", diff)
		}
	})
}

// visit requests n pages of a deployment as one client, and disconnects.
func visit(t *testing.T, c *cache.Cache, client string, n int, p page) (refused int) {
	t.Helper()
	for i := range n {
		how := p.making()
		how.Client = client
		f, _, err := c.Fill(t.Context(), keyOf("prj_1", "dpl_1", fmt.Sprint("/", client, "/", i)), how)
		if errors.Is(err, cache.ErrBusy) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Leave()
	}
	synctest.Wait()
	return refused
}

func TestFillsOfOneClientDoNotBlockOtherClientsOfTheTenant(t *testing.T) {
	withCache(t, cache.Options{MaxFills: 16, MaxWaiting: 64}, func(t *testing.T, c *cache.Cache) {
		gate := make(chan struct{})
		if visit(t, c, "192.0.2.1", 100, page{wait: gate, use: cache.ReuseStored}) == 0 {
			t.Error("the fills of one client are not bounded")
		}
		if n := visit(t, c, "192.0.2.2", 3, page{wait: gate, use: cache.ReuseStored}); n > 0 {
			t.Errorf("%d of 3 pages of another client are refused", n)
		}
		close(gate)
	})
}

func TestClientsWaitForPagesOfADeploymentInTurn(t *testing.T) {
	withCache(t, cache.Options{MaxFills: 4}, func(t *testing.T, c *cache.Cache) {
		gate := make(chan struct{})
		visit(t, c, "192.0.2.1", 1, page{wait: gate, use: cache.ReuseStored})
		var order []string
		for _, client := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
			for n := range 3 {
				how := cache.Fill{Client: client, Generate: func(context.Context) (*cache.Response, error) {
					order = append(order, client)
					return nil, errors.New("enough")
				}}
				f, _, err := c.Fill(t.Context(), keyOf("prj_1", "dpl_1", fmt.Sprint("/", client, "/next/", n)), how)
				if err != nil {
					t.Fatal(err)
				}
				f.Leave()
				synctest.Wait()
			}
		}
		close(gate)
		synctest.Wait()
		want := []string{
			"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1", "192.0.2.2", "192.0.2.3",
		}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("the order (-want +got):\n%s", diff)
		}
	})
}
