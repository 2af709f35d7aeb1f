package cache_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/cache"
)

// running opens a cache and runs it until the test ends.
func running(t testing.TB, o cache.Options) *cache.Cache {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	c, err := cache.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, c)
	t.Cleanup(stop)
	return c
}

// run runs c until the returned function is called.
func run(t testing.TB, c *cache.Cache) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return func() { cancel(); <-done }
}

// page configures a cache fill of a test.
type page struct {
	body   string
	status int
	tags   []string
	group  string
	fresh  time.Duration
	usable time.Duration
	use    cache.Reuse
	err    error
	wait   chan struct{} // delays the header until closed
	hold   chan struct{} // delays the end of the body until closed
	calls  *int
}

func (p page) making() cache.Fill {
	return cache.Fill{Generate: func(ctx context.Context) (*cache.Response, error) {
		if p.calls != nil {
			*p.calls++
		}
		if p.wait != nil {
			select {
			case <-p.wait:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if p.err != nil {
			return nil, p.err
		}
		var body io.Reader = strings.NewReader(p.body)
		if p.hold != nil {
			body = io.MultiReader(body, &gate{ctx, p.hold})
		}
		status := p.status
		if status == 0 {
			status = http.StatusOK
		}
		return &cache.Response{
			Entry: &cache.Entry{Status: status, Header: http.Header{"X-Page": {"1", "\xff\xfe"}}, Tags: p.tags, Group: p.group, Fresh: p.fresh, Usable: p.usable},
			Body:  io.NopCloser(body), Reuse: p.use,
		}, nil
	}}
}

// gate is an empty reader that ends once it is opened.
type gate struct {
	ctx  context.Context
	open chan struct{}
}

func (g *gate) Read([]byte) (int, error) {
	select {
	case <-g.open:
		return 0, io.EOF
	case <-g.ctx.Done():
		return 0, g.ctx.Err()
	}
}

// keep fills the entry of key and waits for it.
func keep(t testing.TB, c *cache.Cache, key cache.Key, p page) {
	t.Helper()
	p.use = cache.ReuseStored
	how := p.making()
	how.Durable = true
	f, _, err := c.Fill(t.Context(), key, how)
	if err != nil {
		t.Fatal(err)
	}
	f.Leave()
	e, err := f.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
}

// body reads the entry of key; it is "none" if there is none.
func body(t testing.TB, c *cache.Cache, key cache.Key) string {
	t.Helper()
	e := c.Get(key)
	if e == nil {
		return "none"
	}
	defer e.Close()
	b, err := io.ReadAll(e.Body())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func state(t testing.TB, c *cache.Cache, key cache.Key) string {
	t.Helper()
	e := c.Get(key)
	if e == nil {
		return "none"
	}
	defer e.Close()
	s, reason := c.State(key.Scope, e, time.Now())
	return strings.TrimSpace(fmt.Sprint([]string{"fresh", "stale", "expired"}[s], " ", reason))
}

var home = cache.NewKey("dpl_1", "/index")

func TestAnEntryIsReadBackAsItWasStored(t *testing.T) {
	c := running(t, cache.Options{MaxInline: 1000})
	for name, text := range map[string]string{"empty": "", "small": "hello", "large": strings.Repeat("x", 5000)} {
		t.Run(name, func(t *testing.T) {
			key := cache.NewKey("dpl_1", name)
			keep(t, c, key, page{body: text, status: 404, tags: []string{"a", "b"}, group: "g", fresh: time.Hour, usable: 2 * time.Hour})
			e := c.Get(key)
			if e == nil {
				t.Fatal("the entry is missing")
			}
			defer e.Close()
			got, err := io.ReadAll(e.Body())
			if err != nil || string(got) != text {
				t.Errorf("body has %d bytes, want %d (%v)", len(got), len(text), err)
			}
			if e.Status != 404 || e.Header.Get("X-Page") != "1" || e.Header["X-Page"][1] != "\xff\xfe" || e.Fresh != time.Hour || e.Usable != 2*time.Hour || e.Group != "g" || e.Size != int64(len(text)) {
				t.Errorf("entry is %+v", e)
			}
			if diff := cmp.Diff([]string{"a", "b"}, e.Tags); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEntriesAndInvalidationsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	c, err := cache.Open(cache.Options{Dir: dir, MaxInline: 100})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, c)
	large := cache.NewKey("dpl_1", "large")
	keep(t, c, home, page{body: "home", fresh: time.Hour, tags: []string{"old"}})
	keep(t, c, large, page{body: strings.Repeat("y", 1000), fresh: -1})
	if err := c.Invalidate([]string{"dpl_1"}, []string{"old"}, 0); err != nil {
		t.Fatal(err)
	}
	used := c.Used()
	stop()

	c = running(t, cache.Options{Dir: dir, MaxInline: 100})
	if got := body(t, c, home); got != "home" {
		t.Errorf("home is %q", got)
	}
	if got := state(t, c, home); got != "expired stale_tag" {
		t.Errorf("home is %s", got)
	}
	if got := state(t, c, large); got != "fresh" {
		t.Errorf("large is %s", got)
	}
	for c.Used() != used { // the cache scans the directory in the background
		if err := t.Context().Err(); err != nil {
			t.Fatalf("%d bytes are used, %d were", c.Used(), used)
		}
	}
}

func TestFreshnessFollowsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		keep(t, c, home, page{fresh: 2 * time.Second, usable: time.Minute})
		forever := cache.NewKey("dpl_1", "forever")
		keep(t, c, forever, page{fresh: -1})
		always := cache.NewKey("dpl_1", "always stale")
		keep(t, c, always, page{fresh: time.Second})

		want := func(key cache.Key, state_ string) {
			t.Helper()
			if got := state(t, c, key); got != state_ {
				t.Errorf("is %s, want %s", got, state_)
			}
		}
		want(home, "fresh")
		time.Sleep(2*time.Second - 1)
		want(home, "fresh")
		time.Sleep(time.Nanosecond)
		want(home, "stale stale_time")
		time.Sleep(57 * time.Second)
		want(home, "stale stale_time")
		time.Sleep(time.Second)
		want(home, "expired stale_time")
		time.Sleep(30 * 24 * time.Hour)
		want(forever, "fresh")
		want(always, "stale stale_time")
	})
}

func TestTagsInvalidateEarlierEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		elsewhere := cache.NewKey("dpl_2", "/index")
		fill := func() {
			keep(t, c, home, page{fresh: -1, tags: []string{"clock", "other"}})
			keep(t, c, elsewhere, page{fresh: -1, tags: []string{"clock"}})
		}
		invalidate := func(grace time.Duration, scopes ...string) {
			t.Helper()
			time.Sleep(time.Second)
			if err := c.Invalidate(scopes, []string{"clock"}, grace); err != nil {
				t.Fatal(err)
			}
		}
		want := func(here, there string) {
			t.Helper()
			if got := state(t, c, home); got != here {
				t.Errorf("is %s, want %s", got, here)
			}
			if got := state(t, c, elsewhere); got != there {
				t.Errorf("elsewhere is %s, want %s", got, there)
			}
		}
		fill()
		want("fresh", "fresh")
		invalidate(cache.Soft, "dpl_1")
		want("stale stale_tag", "fresh")
		time.Sleep(time.Hour)
		want("stale stale_tag", "fresh")

		fill()
		want("fresh", "fresh")
		invalidate(0, "dpl_1", "dpl_2")
		want("expired stale_tag", "expired stale_tag")

		// A hard invalidation is not weakened by a softer one, which applies only to
		// later entries.
		fill()
		invalidate(cache.Soft, "dpl_1")
		want("stale stale_tag", "fresh")

		fill()
		invalidate(time.Minute, "dpl_1")
		want("stale stale_tag", "fresh")
		time.Sleep(time.Minute - 1)
		want("stale stale_tag", "fresh")
		invalidate(time.Hour, "dpl_1") // does not postpone the first deadline
		want("expired stale_tag", "fresh")
		fill()
		want("fresh", "fresh")

		if err := c.Invalidate([]string{"dpl_1"}, []string{"unused"}, 0); err != nil {
			t.Fatal(err)
		}
		want("fresh", "fresh")
	})
}

func TestATagInvalidatedDuringACacheFillCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		p := page{fresh: -1, tags: []string{"clock"}, use: cache.ReuseStored, wait: make(chan struct{})}
		f, _, err := c.Fill(t.Context(), home, p.making())
		if err != nil {
			t.Fatal(err)
		}
		f.Leave()
		time.Sleep(time.Second)
		if err := c.Invalidate([]string{"dpl_1"}, []string{"clock"}, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		close(p.wait)
		if _, err := f.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := state(t, c, home); got != "expired stale_tag" {
			t.Errorf("is %s: it may contain invalidated data", got)
		}
	})
}

func TestAGroupIsRegeneratedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		rsc := cache.NewKey("dpl_1", "/index.rsc")
		p := page{fresh: -1, group: "1", use: cache.ReuseStored}
		again := func(key cache.Key, spread cache.Propagation) {
			t.Helper()
			time.Sleep(time.Second)
			how := p.making()
			how.Propagation = spread
			f, _, err := c.Fill(t.Context(), key, how)
			if err != nil {
				t.Fatal(err)
			}
			f.Leave()
			if _, err := f.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want := func(html, data string) {
			t.Helper()
			if h, d := state(t, c, home), state(t, c, rsc); h != html || d != data {
				t.Errorf("html is %s, data %s; want %s, %s", h, d, html, data)
			}
		}
		keep(t, c, home, p)
		keep(t, c, rsc, p)
		want("fresh", "fresh")
		again(home, cache.PropagateStale)
		want("fresh", "stale stale_group")
		again(rsc, cache.PropagateNone)
		want("fresh", "fresh")
		again(rsc, cache.PropagateExpired)
		want("expired stale_group", "fresh")
	})
}

func TestKeysOfDifferentPartsDiffer(t *testing.T) {
	seen := map[cache.Key][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"a", "b"}, {"ab"}, {"a", "", "b"}, {"ab", ""}, {"", "ab"}, {"\x00"}} {
		key := cache.NewKey("s", parts...)
		if before, taken := seen[key]; taken {
			t.Errorf("%q and %q share a key", before, parts)
		}
		seen[key] = parts
	}
}
