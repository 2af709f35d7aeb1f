package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
)

// withCache runs test in a synctest bubble with a running cache.
func withCache(t *testing.T, o cache.Options, test func(t *testing.T, c *cache.Cache)) {
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		test(t, c)
	})
}

func mustMake(t *testing.T, c *cache.Cache, key cache.Key, how cache.Fill) (*cache.Flight, bool) {
	t.Helper()
	f, leader, err := c.Fill(t.Context(), key, how)
	if err != nil {
		t.Fatal(err)
	}
	return f, leader
}

// wait waits for f and returns its body or error.
func wait(ctx context.Context, f *cache.Flight) string {
	e, err := f.Wait(ctx)
	if err != nil {
		return err.Error()
	}
	defer e.Close()
	b, err := io.ReadAll(e.Body())
	return string(b) + errText(err)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return " (" + err.Error() + ")"
}

func TestAHundredRequestsShareOneFill(t *testing.T) {
	for name, text := range map[string]string{"small": "page", "large": strings.Repeat("p", 5000)} {
		t.Run(name, func(t *testing.T) {
			withCache(t, cache.Options{MaxInline: 100}, func(t *testing.T, c *cache.Cache) {
				calls := 0
				p := page{body: text, fresh: -1, use: cache.ReuseStored, wait: make(chan struct{}), calls: &calls}
				var all sync.WaitGroup
				got := make([]string, 100)
				for i := range got {
					all.Go(func() {
						f, leader, err := c.Fill(t.Context(), home, p.making())
						if err != nil {
							t.Error(err)
							return
						}
						if !leader {
							got[i] = wait(t.Context(), f)
							return
						}
						body := f.Body(t.Context())
						defer body.Close()
						b, err := io.ReadAll(body)
						got[i] = string(b) + errText(err)
					})
				}
				synctest.Wait()
				close(p.wait)
				all.Wait()
				for i := range got {
					if got[i] != text {
						t.Errorf("request %d got %.40q", i, got[i])
					}
				}
				if calls != 1 {
					t.Errorf("the page was filled %d times", calls)
				}
			})
		})
	}
}

func TestTheLeaderReadsTheBodyAsItArrives(t *testing.T) {
	for name, inline := range map[string]int64{"in memory": 1000, "on disk": 10} {
		t.Run(name, func(t *testing.T) {
			withCache(t, cache.Options{MaxInline: inline}, func(t *testing.T, c *cache.Cache) {
				p := page{body: "the first part of the body", fresh: -1, use: cache.ReuseStored, hold: make(chan struct{})}
				f, _ := mustMake(t, c, home, p.making())
				resp, err := f.Head(t.Context())
				if err != nil || resp.Entry.Status != 200 {
					t.Fatal(resp, err)
				}
				r := f.Body(t.Context())
				defer r.Close()
				first := make([]byte, len(p.body))
				if _, err := io.ReadFull(r, first); err != nil || string(first) != p.body {
					t.Fatalf("read %q, %v", first, err)
				}
				synctest.Wait()
				if got := body(t, c, home); got != "none" {
					t.Errorf("half a page is stored: %q", got)
				}
				close(p.hold)
				if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
					t.Errorf("then %q, %v", rest, err)
				}
				synctest.Wait()
				if got := body(t, c, home); got != p.body {
					t.Errorf("the stored page is %q", got)
				}
			})
		})
	}
}

func TestALeaderThatLeavesStopsNoOtherRequest(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		p := page{body: "page", fresh: -1, use: cache.ReuseStored, wait: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		f, _, err := c.Fill(ctx, home, p.making())
		if err != nil {
			t.Fatal(err)
		}
		other, leader := mustMake(t, c, home, p.making())
		if leader {
			t.Fatal("there are two leaders")
		}
		cancel()
		if _, err := f.Head(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the leader got %v", err)
		}
		f.Leave()
		synctest.Wait()
		close(p.wait)
		if got := wait(t.Context(), other); got != "page" {
			t.Errorf("the other got %q", got)
		}
	})
}

func TestAWaitEndsWithItsOwnContext(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		p := page{use: cache.ReuseStored, wait: make(chan struct{})}
		f, _ := mustMake(t, c, home, p.making())
		defer f.Leave()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := wait(ctx, f); got != context.DeadlineExceeded.Error() {
			t.Errorf("got %q", got)
		}
		close(p.wait)
	})
}

func TestErrorsAreSharedAndNotStored(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		p := page{body: "boom", status: 500, use: cache.ReuseWaiting, wait: make(chan struct{})}
		f, _ := mustMake(t, c, home, p.making())
		f.Leave()
		g, _ := mustMake(t, c, home, p.making())
		close(p.wait)
		e, err := g.Wait(t.Context())
		if err != nil || e.Status != 500 || string(e.Bytes()) != "boom" || g.Stored() {
			t.Errorf("the waiting request got %+v, %v", e, err)
		}
		if got := body(t, c, home); got != "none" {
			t.Errorf("the error is stored: %q", got)
		}

		p.err, p.wait = errors.New("no function"), nil
		f, _ = mustMake(t, c, home, p.making())
		if _, err := f.Head(t.Context()); !errors.Is(err, p.err) {
			t.Errorf("the leader got %v", err)
		}
		f.Leave()
		if got := wait(t.Context(), f); got != "no function" {
			t.Errorf("the waiting request got %q", got)
		}
	})
}

func TestAResponseForOneRequestIsNotShared(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		p := page{body: "private", use: cache.ReuseNone, wait: make(chan struct{}), hold: make(chan struct{})}
		f, _ := mustMake(t, c, home, p.making())
		g, _ := mustMake(t, c, home, p.making())
		close(p.wait)
		if got := wait(t.Context(), g); got != cache.ErrNotReusable.Error() { // as soon as the header has arrived
			t.Errorf("the waiting request got %q", got)
		}
		if _, leader := mustMake(t, c, home, page{use: cache.ReuseStored}.making()); !leader {
			t.Error("a later request waits for a private response")
		}
		close(p.hold)
		r := f.Body(t.Context())
		if b, err := io.ReadAll(r); err != nil || string(b) != "private" {
			t.Errorf("the leader got %q, %v", b, err)
		}
		r.Close()
	})
}

func TestAResponseForOneRequestEndsWhenItsClientLeaves(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		ended := make(chan error, 1)
		f, _ := mustMake(t, c, home, cache.Fill{Generate: func(ctx context.Context) (*cache.Response, error) {
			context.AfterFunc(ctx, func() { ended <- ctx.Err() })
			return &cache.Response{Entry: &cache.Entry{}, Body: io.NopCloser(&gate{ctx, nil}), Reuse: cache.ReuseNone}, nil
		}})
		if _, err := f.Head(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Leave()
		<-ended // otherwise the bubble deadlocks
	})
}

func TestABodyTooLargeIsStreamedAndNotStored(t *testing.T) {
	dir := t.TempDir()
	withCache(t, cache.Options{Dir: dir, MaxInline: 10, MaxBody: 1000}, func(t *testing.T, c *cache.Cache) {
		text := strings.Repeat("0123456789", 20_000)
		p := page{body: text, fresh: -1, use: cache.ReuseStored, wait: make(chan struct{})}
		f, _ := mustMake(t, c, home, p.making())
		g, _ := mustMake(t, c, home, p.making())
		close(p.wait)
		if got := wait(t.Context(), g); got != cache.ErrNotReusable.Error() {
			t.Errorf("the waiting request got %.40q", got)
		}
		r := f.Body(t.Context())
		b, err := io.ReadAll(r)
		if err != nil || string(b) != text {
			t.Errorf("the leader got %d bytes, %v", len(b), err)
		}
		r.Close()
		synctest.Wait()
		if got := body(t, c, home); got != "none" {
			t.Errorf("%d bytes are stored", len(got))
		}
		if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) > 0 {
			t.Errorf("temporary files remain: %v, %v", left, err)
		}
	})
}

// A client that has disconnected must not keep a silent function running.
func TestALargeBodyEndsWithItsReader(t *testing.T) {
	withCache(t, cache.Options{MaxInline: 10, MaxBody: 100}, func(t *testing.T, c *cache.Cache) {
		closed := make(chan struct{})
		f, _ := mustMake(t, c, home, cache.Fill{Generate: func(context.Context) (*cache.Response, error) {
			r, w := io.Pipe()
			go func() { io.WriteString(w, strings.Repeat("x", 1000)); <-closed }()
			return &cache.Response{Entry: &cache.Entry{Fresh: -1}, Body: &closing{r, closed}, Reuse: cache.ReuseStored}, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		r := f.Body(ctx)
		done := make(chan error)
		go func() { _, err := io.ReadAll(r); done <- err }()
		synctest.Wait()
		cancel()
		if err := <-done; err == nil {
			t.Error("the body seems complete")
		}
		<-closed
	})
}

// closing is a reader that reports its Close.
type closing struct {
	*io.PipeReader

	closed chan struct{}
}

func (c *closing) Close() error { close(c.closed); return c.PipeReader.Close() }

func TestABrokenBodyIsAnErrorForAllRequests(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		broken := errors.New("broken pipe")
		f, _ := mustMake(t, c, home, cache.Fill{Generate: func(context.Context) (*cache.Response, error) {
			r, w := io.Pipe()
			go func() { io.WriteString(w, "half"); w.CloseWithError(broken) }()
			return &cache.Response{Entry: &cache.Entry{Fresh: -1}, Body: r, Reuse: cache.ReuseStored}, nil
		}})
		if got := wait(t.Context(), f); got != "broken pipe" {
			t.Errorf("the waiting request got %q", got)
		}
		r := f.Body(t.Context())
		if b, err := io.ReadAll(r); string(b) != "half" || !errors.Is(err, broken) {
			t.Errorf("the leader got %q, %v", b, err)
		}
		r.Close()
		if got := body(t, c, home); got != "none" {
			t.Errorf("half a page is stored: %q", got)
		}
	})
}

func TestFillsBeyondTheBoundQueue(t *testing.T) {
	withCache(t, cache.Options{MaxFills: 1}, func(t *testing.T, c *cache.Cache) {
		p := page{body: "1", use: cache.ReuseStored, wait: make(chan struct{})}
		f, _ := mustMake(t, c, home, p.making())
		synctest.Wait()
		g, _ := mustMake(t, c, cache.NewKey("dpl_1", "2"), page{body: "2", use: cache.ReuseStored}.making())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := wait(ctx, g); got != context.DeadlineExceeded.Error() {
			t.Errorf("the second is %q during the first fill", got)
		}
		close(p.wait)
		if got := wait(t.Context(), f) + wait(t.Context(), g); got != "12" {
			t.Errorf("got %q", got)
		}
		f.Leave()
		g.Leave()
	})
}

func TestWaitingRequestsBeyondTheLimitAreRefused(t *testing.T) {
	withCache(t, cache.Options{MaxWaiting: 1}, func(t *testing.T, c *cache.Cache) {
		p := page{body: "page", use: cache.ReuseStored, wait: make(chan struct{})}
		f, _ := mustMake(t, c, home, p.making())
		f.Leave()
		first := make(chan string, 1)
		go func() { first <- wait(t.Context(), f) }()
		synctest.Wait()
		if got := wait(t.Context(), f); got != cache.ErrBusy.Error() {
			t.Errorf("the second got %q", got)
		}
		if _, _, err := c.Fill(t.Context(), cache.NewKey("dpl_1", "another"), p.making()); !errors.Is(err, cache.ErrBusy) {
			t.Errorf("another page: %v", err)
		}
		close(p.wait)
		if got := <-first; got != "page" {
			t.Errorf("the first got %q", got)
		}
	})
}

func TestARequestForANewerPageWaitsForTheOlderFill(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		old := page{body: "old", fresh: -1, use: cache.ReuseStored, wait: make(chan struct{})}
		f, _ := mustMake(t, c, home, old.making())
		f.Leave()
		time.Sleep(time.Second)
		calls := 0
		how := page{body: "new", fresh: -1, use: cache.ReuseStored, calls: &calls}.making()
		how.Since = time.Now()
		got := make(chan string, 2)
		for range 2 {
			go func() {
				g, leader, err := c.Fill(t.Context(), home, how)
				if err != nil {
					got <- err.Error()
					return
				}
				if leader {
					g.Leave()
				}
				got <- wait(t.Context(), g)
			}()
		}
		synctest.Wait()
		close(old.wait)
		if a, b := <-got, <-got; a != "new" || b != "new" || calls != 1 {
			t.Errorf("got %q and %q of %d fills", a, b, calls)
		}
	})
}

func TestAPanicIsAnError(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		f, _ := mustMake(t, c, home, cache.Fill{Generate: func(context.Context) (*cache.Response, error) { panic("oops") }})
		defer f.Leave()
		if got := wait(t.Context(), f); !strings.Contains(got, "oops") {
			t.Errorf("got %q", got)
		}
		if _, leader := mustMake(t, c, home, page{use: cache.ReuseStored}.making()); !leader {
			t.Error("no fill runs any more")
		}
	})
}

func TestStoppingEndsEveryWait(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: dir, MaxFills: 1})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, c)
		p := page{use: cache.ReuseStored, wait: make(chan struct{})}
		f, _ := mustMake(t, c, home, p.making())
		synctest.Wait()
		g, _ := mustMake(t, c, cache.NewKey("dpl_1", "queued"), p.making())
		synctest.Wait()
		stop()
		if got := wait(t.Context(), f); got != context.Canceled.Error() {
			t.Errorf("the request of the running fill got %q", got)
		}
		if got := wait(t.Context(), g); got != cache.ErrStopped.Error() {
			t.Errorf("the request of the queued fill got %q", got)
		}
		if _, _, err := c.Fill(t.Context(), home, p.making()); !errors.Is(err, cache.ErrStopped) {
			t.Errorf("afterwards: %v", err)
		}
		if c.Refresh(t.Context(), home, p.making()) {
			t.Error("refreshes afterwards")
		}
	})
}

func TestAnEntryThatCannotBeWrittenIsStillServed(t *testing.T) {
	dir := t.TempDir()
	c := running(t, cache.Options{Dir: dir, MaxInline: 10})
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"small": "tiny", "large": strings.Repeat("x", 100_000)} {
		how := page{body: text, use: cache.ReuseStored, fresh: -1}.making()
		how.Durable = true
		f, _ := mustMake(t, c, cache.NewKey("dpl_1", name), how)
		r := f.Body(t.Context())
		b, err := io.ReadAll(r)
		if err != nil || string(b) != text {
			t.Errorf("%s: the leader got %d bytes, %v", name, len(b), err)
		}
		r.Close()
		if _, err := f.Wait(t.Context()); err != nil && !errors.Is(err, cache.ErrNotReusable) || f.Stored() {
			t.Errorf("%s: %v, stored: %v", name, err, f.Stored())
		}
	}
	if got := body(t, c, cache.NewKey("dpl_1", "small")); got != "tiny" {
		t.Errorf("the small page is %q in memory", got)
	}
}

func TestAFollowerDoesNotFailWithADisconnectedLeader(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: dir}) // does not run yet, so that the leader waits
		if err != nil {
			t.Fatal(err)
		}
		p := page{body: "1"}
		ctx, hangUp := context.WithCancel(t.Context())
		go c.Fill(ctx, home, p.making())
		synctest.Wait()
		f, leader := mustMake(t, c, home, p.making())
		if leader {
			t.Fatal("there is no leader to follow")
		}
		hangUp()
		if _, err := f.Wait(t.Context()); !errors.Is(err, cache.ErrNotReusable) {
			t.Errorf("the follower got %v", err)
		}
	})
}

func TestAnOlderPageNeverReplacesANewerOne(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		for i := range 200 { // the older page's file may be renamed while the newer page is only in memory
			for _, text := range []string{fmt.Sprint("old ", i), fmt.Sprint("new ", i)} {
				p := page{body: text, fresh: -1, use: cache.ReuseStored}
				f, leader := mustMake(t, c, home, p.making())
				if !leader {
					t.Fatalf("%s: another fill was running", text)
				}
				f.Leave()
				if got := wait(t.Context(), f); got != text {
					t.Fatalf("filled %q, want %q", got, text)
				}
			}
			for range 20 {
				if got := body(t, c, home); got != fmt.Sprint("new ", i) {
					t.Fatalf("got %q after new %d", got, i)
				}
			}
		}
	})
}

// A request looks for a page, the fill of another request ends, and then the first
// request asks for a fill: the page must not be filled twice.
func TestAPageStoredAfterTheLookupIsNotFilledAgain(t *testing.T) {
	withCache(t, cache.Options{}, func(t *testing.T, c *cache.Cache) {
		keep := func() time.Time {
			f, _ := mustMake(t, c, home, page{body: "made", use: cache.ReuseStored, fresh: -1}.making())
			f.Leave()
			e, err := f.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			return e.Started
		}
		again := page{body: "made again", use: cache.ReuseStored, fresh: -1}.making()
		again.Seen = cache.Unseen()
		seen := keep()
		for range 2 { // also after an older page
			f, leader := mustMake(t, c, home, again)
			if got := wait(t.Context(), f); leader || got != "made" || !f.Stored() {
				t.Errorf("the page is %q, stored: %v", got, f.Stored())
			}
			if c.Refresh(t.Context(), home, again) {
				t.Error("it is refreshed in the background")
			}
			again.Seen = seen
			time.Sleep(time.Second)
			seen = keep()
		}
		again.Seen = seen
		f, leader := mustMake(t, c, home, again)
		f.Leave()
		if got := wait(t.Context(), f); !leader || got != "made again" {
			t.Errorf("got %q instead of a new page", got)
		}
	})
}
