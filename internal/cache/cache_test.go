package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/cache"
)

// running opens a cache and runs it for as long as the test lasts.
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

// run runs c until the function it returns is called.
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

// page is how a test makes an entry.
type page struct {
	body   string
	status int
	tags   []string
	group  string
	fresh  time.Duration
	usable time.Duration
	use    cache.Use
	err    error
	wait   chan struct{} // before the header
	hold   chan struct{} // before the end of the body
	calls  *int
}

func (p page) making() cache.Making {
	return cache.Making{Make: func(ctx context.Context) (*cache.Draft, error) {
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
		return &cache.Draft{
			Entry: &cache.Entry{Status: status, Header: http.Header{"X-Page": {"1", "\xff\xfe"}}, Tags: p.tags, Group: p.group, Fresh: p.fresh, Usable: p.usable},
			Body:  io.NopCloser(body), Use: p.use,
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

// keep makes the entry of key and waits for it.
func keep(t testing.TB, c *cache.Cache, key cache.Key, p page) {
	t.Helper()
	p.use = cache.Kept
	f, _, err := c.Make(t.Context(), key, p.making())
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

func TestAnEntryIsReadBackAsItWasKept(t *testing.T) {
	c := running(t, cache.Options{MaxInline: 1000})
	for name, text := range map[string]string{"empty": "", "small": "hello", "large": strings.Repeat("x", 5000)} {
		t.Run(name, func(t *testing.T) {
			key := cache.NewKey("dpl_1", name)
			keep(t, c, key, page{body: text, status: 404, tags: []string{"a", "b"}, group: "g", fresh: time.Hour, usable: 2 * time.Hour})
			e := c.Get(key)
			if e == nil {
				t.Fatal("the entry is not there")
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
	for c.Used() != used { // the directory is read behind our back
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

func TestTagsInvalidateWhatWasBornBefore(t *testing.T) {
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

		// What was deleted stays so, and a softer invalidation of what came since is softer.
		fill()
		invalidate(cache.Soft, "dpl_1")
		want("stale stale_tag", "fresh")

		fill()
		invalidate(time.Minute, "dpl_1")
		want("stale stale_tag", "fresh")
		time.Sleep(time.Minute - 1)
		want("stale stale_tag", "fresh")
		invalidate(time.Hour, "dpl_1") // does not put off the first deadline
		want("expired stale_tag", "fresh")
		fill()
		want("fresh", "fresh")

		if err := c.Invalidate([]string{"dpl_1"}, []string{"nobody's"}, 0); err != nil {
			t.Fatal(err)
		}
		want("fresh", "fresh")
	})
}

func TestATagInvalidatedWhileAnEntryIsMadeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		p := page{fresh: -1, tags: []string{"clock"}, use: cache.Kept, wait: make(chan struct{})}
		f, _, err := c.Make(t.Context(), home, p.making())
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
			t.Errorf("is %s: it may hold what was invalidated", got)
		}
	})
}

func TestAGroupIsMadeAnewTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		rsc := cache.NewKey("dpl_1", "/index.rsc")
		p := page{fresh: -1, group: "1", use: cache.Kept}
		again := func(key cache.Key, spread cache.Spread) {
			t.Helper()
			time.Sleep(time.Second)
			how := p.making()
			how.Spread = spread
			f, _, err := c.Make(t.Context(), key, how)
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
		again(home, cache.SpreadStale)
		want("fresh", "stale stale_tag")
		again(rsc, cache.SpreadNone)
		want("fresh", "fresh")
		again(rsc, cache.SpreadExpired)
		want("expired stale_tag", "fresh")
	})
}

func TestDroppedScopesAreGone(t *testing.T) {
	dir := t.TempDir()
	c := running(t, cache.Options{Dir: dir})
	other := cache.NewKey("dpl_2", "/index")
	keep(t, c, home, page{body: "1", fresh: -1})
	keep(t, c, other, page{body: "2", fresh: -1})

	p := page{body: "late", fresh: -1, use: cache.Kept, wait: make(chan struct{})}
	late := cache.NewKey("dpl_1", "late")
	f, _, err := c.Make(t.Context(), late, p.making())
	if err != nil {
		t.Fatal(err)
	}
	f.Leave()
	if err := c.Drop("dpl_1"); err != nil {
		t.Fatal(err)
	}
	close(p.wait)
	e, err := f.Wait(t.Context())
	if err != nil {
		t.Fatal(err) // whoever waited has it all the same
	}
	e.Close()
	if got := body(t, c, home); got != "none" {
		t.Errorf("the dropped entry is %q", got)
	}
	if got := body(t, c, other); got != "2" {
		t.Errorf("the other scope's entry is %q", got)
	}
	if err := c.Sweep(func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if got := body(t, c, other); got != "none" {
		t.Errorf("the swept entry is %q", got)
	}
	if used := c.Used(); used != 0 {
		t.Errorf("%d bytes are in use", used)
	}
}

func TestTheDirectoryStaysWithinItsBound(t *testing.T) {
	const size, limit = 1000, 50_000
	dir := t.TempDir()
	c := running(t, cache.Options{Dir: dir, MaxBytes: limit, MaxInline: 10})
	for i := range 200 {
		keep(t, c, cache.NewKey(fmt.Sprintf("dpl_%d", i%3), fmt.Sprint(i)), page{body: strings.Repeat("x", size), fresh: -1})
		if used := c.Used(); used > limit {
			t.Fatalf("%d bytes are in use, more than %d", used, limit)
		}
	}
	var onDisk int64
	files := 0
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			info, _ := d.Info()
			onDisk += info.Size()
			files++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if onDisk != c.Used() || files < limit/size/3 {
		t.Errorf("%d files have %d bytes, the index says %d", files, onDisk, c.Used())
	}
}

func TestWhatIsUsedOutlivesWhatIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: t.TempDir(), MaxBytes: 20_000})
		if err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		keep(t, c, home, page{body: strings.Repeat("h", 500), fresh: -1})
		for i := range 200 {
			time.Sleep(time.Second)
			keep(t, c, cache.NewKey("dpl_1", fmt.Sprint(i)), page{body: strings.Repeat("x", 500), fresh: -1})
			if body(t, c, home) == "none" {
				t.Fatalf("the page in use was evicted after %d others", i)
			}
		}
	})
}

func TestEntriesThatNobodyAsksForGoAfterAMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.Open(cache.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		idle := cache.NewKey("dpl_1", "idle")
		keep(t, c, home, page{fresh: -1})
		keep(t, c, idle, page{fresh: -1})
		for range 32 {
			time.Sleep(24 * time.Hour)
			if body(t, c, home) == "none" {
				t.Fatal("the page in use is gone")
			}
		}
		if got := body(t, c, idle); got != "none" {
			t.Errorf("the idle page is %q", got)
		}
	})
}

func TestAccessTimesSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := cache.Options{Dir: t.TempDir(), MaxIdle: 10 * time.Hour}
		idle := cache.NewKey("dpl_1", "idle")
		c, err := cache.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, c)
		keep(t, c, home, page{fresh: -1})
		keep(t, c, idle, page{fresh: -1})
		now := time.Now() // the file system has another clock here
		_ = filepath.WalkDir(o.Dir, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(path, now, now))
		})
		time.Sleep(7 * time.Hour)
		body(t, c, home)
		time.Sleep(time.Hour) // the time of use is written now and then
		stop()

		if c, err = cache.Open(o); err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		time.Sleep(4 * time.Hour)
		if got := body(t, c, home); got == "none" {
			t.Error("the page that was used is gone")
		}
		if got := body(t, c, idle); got != "none" {
			t.Error("the page that was not used is there")
		}
	})
}

func TestDamagedFilesAreMissesAndRemoved(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"empty":          func([]byte) []byte { return nil },
		"cut off":        func(b []byte) []byte { return b[:len(b)-1] },
		"cut in half":    func(b []byte) []byte { return b[:len(b)/2] },
		"longer":         func(b []byte) []byte { return append(b, 'x') },
		"body changed":   func(b []byte) []byte { b[2] ^= 1; return b },
		"record changed": func(b []byte) []byte { b[bytes.Index(b, []byte(`"status"`))+2] ^= 1; return b },
		"zeros":          func(b []byte) []byte { return make([]byte, len(b)) },
		"huge record":    func(b []byte) []byte { copy(b[len(b)-12:], "\xff\xff\xff\xff"); return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c, err := cache.Open(cache.Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			stop := run(t, c)
			keep(t, c, home, page{body: "the body", fresh: -1})
			stop()
			file := onlyFile(t, dir)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			c = running(t, cache.Options{Dir: dir})
			if got := body(t, c, home); got != "none" {
				t.Errorf("is %q", got)
			}
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
			keep(t, c, home, page{body: "new", fresh: -1})
			if got := body(t, c, home); got != "new" {
				t.Errorf("is %q after it was made anew", got)
			}
		})
	}
}

// A file under another entry's name is not that entry, whoever put it there.
func TestAFileBelongsToItsKey(t *testing.T) {
	dir := t.TempDir()
	c, err := cache.Open(cache.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, c)
	keep(t, c, home, page{body: "secret", fresh: -1})
	stop()
	from := onlyFile(t, dir)
	other := cache.NewKey("dpl_1", "other")
	to := filepath.Join(dir, "entries", "dpl_1", other.String()[:2], other.String()[2:])
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(from, to)); err != nil {
		t.Fatal(err)
	}
	if got := body(t, running(t, cache.Options{Dir: dir}), other); got != "none" {
		t.Errorf("is %q", got)
	}
}

func onlyFile(t *testing.T, dir string) (file string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			file = path
		}
		return err
	})
	if err != nil || file == "" {
		t.Fatalf("there is no file (%v)", err)
	}
	return file
}

func TestHostileNamesStayInTheDirectory(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "cache")
	c := running(t, cache.Options{Dir: dir})
	for _, scope := range []string{"", ".", "..", "../../etc", "a/b", "a\x00b", "dpl 1", strings.Repeat("a", 200)} {
		key := cache.NewKey(scope, "x")
		f, _, err := c.Make(t.Context(), key, page{body: "x", fresh: -1, use: cache.Kept}.making())
		if err != nil {
			t.Fatal(err)
		}
		f.Leave()
		if _, err := f.Wait(t.Context()); err != nil {
			t.Errorf("scope %q: %v", scope, err)
		}
		if got := body(t, c, key); got != "none" {
			t.Errorf("scope %q keeps %q", scope, got)
		}
		if err := errors.Join(c.Invalidate([]string{scope}, []string{"../../t"}, 0), c.Drop(scope)); err != nil {
			t.Errorf("scope %q: %v", scope, err)
		}
	}
	if err := c.Invalidate([]string{"dpl_1"}, []string{"../../etc/passwd", "a\nb", "", "\x00"}, 0); err != nil {
		t.Error(err)
	}
	list, err := os.ReadDir(root)
	if err != nil || len(list) != 1 {
		t.Errorf("there is more than the cache in %s: %v (%v)", root, list, err)
	}
}

func TestKeysDifferWhereTheirPartsDo(t *testing.T) {
	seen := map[cache.Key][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"a", "b"}, {"ab"}, {"a", "", "b"}, {"ab", ""}, {"", "ab"}, {"\x00"}} {
		key := cache.NewKey("s", parts...)
		if before, taken := seen[key]; taken {
			t.Errorf("%q and %q share a key", before, parts)
		}
		seen[key] = parts
	}
}
