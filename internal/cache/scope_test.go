package cache_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen/internal/cache"
)

func TestDroppedScopesAreGone(t *testing.T) {
	dir := t.TempDir()
	c := running(t, cache.Options{Dir: dir})
	other := cache.NewKey("dpl_2", "/index")
	keep(t, c, home, page{body: "1", fresh: -1})
	keep(t, c, other, page{body: "2", fresh: -1})

	p := page{body: "late", fresh: -1, use: cache.ReuseStored, wait: make(chan struct{})}
	late := cache.NewKey("dpl_1", "late")
	f, _, err := c.Fill(t.Context(), late, p.making())
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
		t.Fatal(err) // a waiting request gets the entry all the same
	}
	e.Close()
	if got := body(t, c, home); got != "none" {
		t.Errorf("the dropped entry is %q", got)
	}
	if got := body(t, c, other); got != "2" {
		t.Errorf("the other scope's entry is %q", got)
	}
	if err := c.Drop(other.Scope); err != nil {
		t.Fatal(err)
	}
	if got := body(t, c, other); got != "none" {
		t.Errorf("the entry of the scope dropped last is %q", got)
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
	err := filepath.WalkDir(filepath.Join(dir, "entries"), func(_ string, d os.DirEntry, err error) error {
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

func TestUnusedPagesAreEvictedFirst(t *testing.T) {
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

func TestEntriesWithoutRequestsAreRemovedAfterAMonth(t *testing.T) {
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
		now := time.Now() // the file system does not use the bubble's clock
		_ = filepath.WalkDir(o.Dir, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(path, now, now))
		})
		time.Sleep(7 * time.Hour)
		body(t, c, home)
		time.Sleep(time.Hour) // access times are saved at intervals
		stop()

		if c, err = cache.Open(o); err != nil {
			t.Fatal(err)
		}
		defer run(t, c)()
		time.Sleep(4 * time.Hour)
		if got := body(t, c, home); got == "none" {
			t.Error("the used page is missing")
		}
		if got := body(t, c, idle); got != "none" {
			t.Error("the unused page is not removed")
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
			dir := stoppedCache(t, "the body")
			file := onlyFile(t, dir)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			c := running(t, cache.Options{Dir: dir})
			if got := body(t, c, home); got != "none" {
				t.Errorf("is %q", got)
			}
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
			keep(t, c, home, page{body: "new", fresh: -1})
			if got := body(t, c, home); got != "new" {
				t.Errorf("is %q after another fill", got)
			}
		})
	}
}

// A file under another entry's name is not that entry.
func TestAFileBelongsToItsKey(t *testing.T) {
	dir := stoppedCache(t, "secret")
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

// stoppedCache returns the directory of a stopped cache with one page.
func stoppedCache(t *testing.T, body string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	c, err := cache.Open(cache.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, c)
	keep(t, c, home, page{body: body, fresh: -1})
	stop()
	return dir
}

func onlyFile(t *testing.T, dir string) (file string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "entries"), func(path string, d os.DirEntry, err error) error {
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
		f, _, err := c.Fill(t.Context(), key, page{body: "x", fresh: -1, use: cache.ReuseStored}.making())
		if err != nil {
			t.Fatal(err)
		}
		f.Leave()
		if _, err := f.Wait(t.Context()); err != nil {
			t.Errorf("scope %q: %v", scope, err)
		}
		if got := body(t, c, key); got != "none" {
			t.Errorf("scope %q has %q", scope, got)
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
		t.Errorf("%s has other files than the cache: %v (%v)", root, list, err)
	}
}

func TestAFillForADroppedScopeIsNotStored(t *testing.T) {
	dir := t.TempDir()
	c := running(t, cache.Options{Dir: dir, MaxInline: 100})
	for name, text := range map[string]string{"small": "late", "large": strings.Repeat("late", 100)} {
		late := cache.NewKey("dpl_1", name)
		p := page{body: text, fresh: -1, group: "g", use: cache.ReuseStored, wait: make(chan struct{})}
		how := p.making()
		how.Durable, how.Propagation = true, cache.PropagateExpired
		f, _, err := c.Fill(t.Context(), late, how)
		if err != nil {
			t.Fatal(err)
		}
		f.Leave()
		if err := c.Drop("dpl_1"); err != nil {
			t.Fatal(err)
		}
		close(p.wait)
		if e, err := f.Wait(t.Context()); err == nil {
			e.Close()
		}
		if got := body(t, c, late); got != "none" {
			t.Errorf("the %s entry of a dropped deployment is stored: %.10q", name, got)
		}
		if _, err := os.Stat(filepath.Join(dir, "entries", "dpl_1")); err == nil {
			t.Errorf("the directory of a dropped deployment exists again after the %s entry", name)
		}
	}
}

func TestUnreadableInvalidationsExpireAllEntries(t *testing.T) {
	dir := stoppedCache(t, "kept")
	if err := os.Mkdir(filepath.Join(dir, "entries", "dpl_1", "invalidated"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := running(t, cache.Options{Dir: dir})
	if got := state(t, c, home); !strings.HasPrefix(got, "expired") {
		t.Errorf("an entry that may be invalidated is %s", got)
	}
}

func keyOf(tenant, scope, name string) cache.Key {
	k := cache.NewKey(scope, name)
	k.Tenant = tenant
	return k
}

// Clients of one project request pages with distinct queries. The cached pages of
// another project must be evicted neither from disk nor from memory, in whichever
// deployments the first project has its pages.
func TestAProjectWithManyPagesEvictsItsOwnOnDiskAndInMemory(t *testing.T) {
	const size, limit, quiet = 1000, 60_000, 10
	c := running(t, cache.Options{Dir: t.TempDir(), MaxBytes: limit, MaxMemory: limit})
	for i := range quiet {
		keep(t, c, keyOf("quiet", "dpl_quiet", fmt.Sprint(i)), page{body: strings.Repeat("q", size), fresh: -1})
	}
	for i := range 300 {
		keep(t, c, keyOf("noisy", fmt.Sprint("dpl_noisy", i%5), fmt.Sprint(i)), page{body: strings.Repeat("x", size), fresh: -1})
	}
	if used := c.Used(); used > limit {
		t.Errorf("%d bytes are on disk, more than %d", used, limit)
	}
	for i := range quiet {
		if got := body(t, c, keyOf("quiet", "dpl_quiet", fmt.Sprint(i))); got == "none" {
			t.Errorf("page %d of the quiet project was evicted", i)
		}
	}
	noisy := 0
	for i := range 300 {
		if body(t, c, keyOf("noisy", fmt.Sprint("dpl_noisy", i%5), fmt.Sprint(i))) != "none" {
			noisy++
		}
	}
	if noisy < 15 {
		t.Errorf("the noisy project has %d pages, want about 30", noisy)
	}
}

// After a restart, before the first request tells the project of a deployment, each
// deployment is a tenant.
func TestADeploymentOfAnUnknownProjectIsATenantOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	first := running(t, cache.Options{Dir: dir})
	for i := range 10 {
		keep(t, first, keyOf("quiet", "dpl_quiet", fmt.Sprint(i)), page{body: strings.Repeat("q", 1000), fresh: -1})
	}
	for i := range 100 {
		keep(t, first, keyOf("noisy", "dpl_noisy", fmt.Sprint(i)), page{body: strings.Repeat("x", 1000), fresh: -1})
	}
	synctest.Test(t, func(t *testing.T) {
		second := running(t, cache.Options{Dir: dir, MaxBytes: 50_000})
		synctest.Wait()
		for i := range 10 {
			if got := body(t, second, cache.NewKey("dpl_quiet", fmt.Sprint(i))); got == "none" {
				t.Errorf("page %d of the quiet deployment was evicted", i)
			}
		}
	})
}
