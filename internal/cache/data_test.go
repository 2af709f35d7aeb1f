package cache_test

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/datacache"
)

var ownerA, ownerB = datacache.Owner{Project: "prj_a", Deployment: "dpl_a"}, datacache.Owner{Project: "prj_b", Deployment: "dpl_b"}

// put stores a value, and reports whether the cache took it.
func put(t *testing.T, d *cache.Data, o datacache.Owner, key string, v datacache.Item) bool {
	t.Helper()
	stored, err := d.Put(t.Context(), o, key, v)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// found returns the state, the meta and the body of a value.
func found(t *testing.T, d *cache.Data, o datacache.Owner, key string, soft ...string) string {
	t.Helper()
	v, err := d.Get(t.Context(), o, key, soft)
	if err != nil {
		t.Fatal(err)
	}
	if v.Body == nil {
		return string(v.State)
	}
	defer v.Body.Close()
	b, err := io.ReadAll(v.Body)
	if err != nil || int64(len(b)) != v.Size {
		t.Fatalf("%d of %d bytes: %v", len(b), v.Size, err)
	}
	return strings.Join([]string{string(v.State), v.Meta, string(b)}, " ")
}

func expectData(t *testing.T, d *cache.Data, o datacache.Owner, want, key string, soft ...string) {
	t.Helper()
	if got := found(t, d, o, key, soft...); got != want {
		t.Errorf("%s of %s, with %v: %.60q, want %.60q", key, o.Deployment, soft, got, want)
	}
}

func invalidate(t *testing.T, d *cache.Data, o datacache.Owner, grace time.Duration, tags ...string) {
	t.Helper()
	if err := d.Invalidate(t.Context(), o, datacache.Invalidation{Tags: tags, Grace: grace}); err != nil {
		t.Fatal(err)
	}
}

func TestDataBelongsToItsDeployment(t *testing.T) {
	d := running(t, cache.Options{}).Data()
	put(t, d, ownerA, "k", datacache.Item{Body: []byte("1"), Meta: "m", Tags: []string{"x"}})
	expectData(t, d, ownerA, "fresh m 1", "k")
	expectData(t, d, ownerB, "miss", "k")
	expectData(t, d, datacache.Owner{Project: "prj_a", Deployment: "dpl_a-data"}, "miss", "k")
	expectData(t, d, datacache.Owner{Deployment: "../dpl_a"}, "miss", "k")
	invalidate(t, d, ownerB, 0, "x")
	expectData(t, d, ownerA, "fresh m 1", "k")
	if s := d.Stats(); s.Hits != 2 || s.Misses != 3 || s.Stored != 1 {
		t.Errorf("counted %+v", s)
	}
}

func TestInvalidationsOfPagesApplyToData(t *testing.T) {
	c := running(t, cache.Options{})
	d := c.Data()
	put(t, d, ownerA, "k", datacache.Item{Body: []byte("1"), Tags: []string{"x", "a,b"}})
	put(t, d, ownerA, "l", datacache.Item{Body: []byte("2")})
	if err := c.Invalidate([]string{"dpl_a"}, []string{"x"}, cache.Soft); err != nil {
		t.Fatal(err)
	}
	expectData(t, d, ownerA, "stale  1", "k")
	invalidate(t, d, ownerA, 0, "a,b")
	expectData(t, d, ownerA, "miss", "k")
	invalidate(t, d, ownerA, 0, "_N_T_/page")
	expectData(t, d, ownerA, "miss", "l", "_N_T_/page")
	expectData(t, d, ownerA, "fresh  2", "l")
}

func TestAValueWhoseComputationBeganBeforeAnInvalidationIsNotStored(t *testing.T) {
	d := running(t, cache.Options{}).Data()
	v, err := d.Get(t.Context(), ownerA, "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	invalidate(t, d, ownerA, time.Hour, "x")
	old := datacache.Item{Body: []byte("old"), Tags: []string{"x"}, Started: v.Now}
	if put(t, d, ownerA, "k", old) {
		t.Error("it is stored")
	}
	expectData(t, d, ownerA, "miss", "k")
	if v, err = d.Get(t.Context(), ownerA, "k", nil); err != nil {
		t.Fatal(err)
	}
	if !put(t, d, ownerA, "k", datacache.Item{Body: []byte("new"), Tags: []string{"x"}, Started: v.Now}) || put(t, d, ownerA, "k", old) {
		t.Error("the old value replaces the new one")
	}
	expectData(t, d, ownerA, "fresh  new", "k")
	future := datacache.Item{Body: []byte("future"), Tags: []string{"x"}, Started: time.Now().Add(time.Hour).UnixNano()}
	put(t, d, ownerA, "k", future)
	invalidate(t, d, ownerA, 0, "x") // the clock is the cache's, not the function's
	expectData(t, d, ownerA, "miss", "k")
}

func TestAPurgeOfDataSparesPages(t *testing.T) {
	c := running(t, cache.Options{})
	d := c.Data()
	put(t, d, ownerA, "k", datacache.Item{Body: []byte("1")})
	put(t, d, ownerB, "k", datacache.Item{Body: []byte("2")})
	if err := c.ExpirePages([]string{string(ownerA.Deployment)}); err != nil {
		t.Fatal(err)
	}
	expectData(t, d, ownerA, "fresh  1", "k")
	if err := c.ExpireData([]string{string(ownerA.Deployment)}); err != nil {
		t.Fatal(err)
	}
	expectData(t, d, ownerA, "miss", "k")
	expectData(t, d, ownerB, "fresh  2", "k")
	put(t, d, ownerA, "k", datacache.Item{Body: []byte("3")})
	expectData(t, d, ownerA, "fresh  3", "k")
}

func TestDataExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := running(t, cache.Options{}).Data()
		put(t, d, ownerA, "k", datacache.Item{Body: []byte("1"), Usable: time.Minute})
		time.Sleep(time.Minute - 1)
		expectData(t, d, ownerA, "fresh  1", "k")
		time.Sleep(time.Nanosecond)
		expectData(t, d, ownerA, "miss", "k")
	})
}

func TestDataSurvivesARestartUntilItsDeploymentIsRemoved(t *testing.T) {
	dir := t.TempDir()
	open := func() (*cache.Cache, *cache.Data, func()) {
		c, err := cache.Open(cache.Options{Dir: dir, MaxInline: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return c, c.Data(), run(t, c)
	}
	big := strings.Repeat("b", 5000)
	_, d, stop := open()
	for _, key := range []string{"k", "x"} {
		put(t, d, ownerA, key, datacache.Item{Body: []byte("1"), Meta: "m", Tags: []string{key}})
	}
	put(t, d, ownerA, "big", datacache.Item{Body: []byte(big)})
	invalidate(t, d, ownerA, 0, "x")
	stop()
	c, d, stop := open()
	defer stop()
	expectData(t, d, ownerA, "fresh m 1", "k")
	expectData(t, d, ownerA, "fresh  "+big, "big")
	expectData(t, d, ownerA, "miss", "x")
	if used := d.Used(); used < 5000 || used > c.Used() {
		t.Errorf("%d of %d bytes", used, c.Used())
	}
	if err := c.Drop("dpl_a"); err != nil {
		t.Fatal(err)
	}
	expectData(t, d, ownerA, "miss", "k")
	invalidate(t, d, ownerA, 0, "x")
	if put(t, d, ownerA, "k", datacache.Item{Body: []byte("late")}) || d.Used() != 0 {
		t.Errorf("an instance of the removed deployment stores a value: %d bytes", d.Used())
	}
	if left, err := os.ReadDir(filepath.Join(dir, "entries")); err != nil || len(left) > 0 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
}

func TestADeploymentLosesItsLeastRecentlyUsedDataPastItsLimit(t *testing.T) {
	const limit = 100_000
	d := running(t, cache.Options{MaxData: limit}).Data()
	put(t, d, ownerB, "k", datacache.Item{Body: []byte("1")})
	for n := range 100 {
		put(t, d, ownerA, strconv.Itoa(n), datacache.Item{Body: make([]byte, 5000)})
		if used := d.Used(); used > limit+1000 {
			t.Fatalf("%d bytes", used)
		}
	}
	expectData(t, d, ownerB, "fresh  1", "k")
	expectData(t, d, ownerA, "fresh  "+string(make([]byte, 5000)), "99")
	if got := found(t, d, ownerA, "0"); got != "miss" {
		t.Error("the oldest is still there")
	}
}

func TestTheTenantWithMostEntriesLosesTheLeastRecentlyUsedPastTheirNumber(t *testing.T) {
	const limit = 200
	dir := t.TempDir()
	d := running(t, cache.Options{Dir: dir, MaxEntries: limit}).Data()
	put(t, d, ownerB, "k", datacache.Item{Body: []byte("1")})
	for n := range 2 * limit { // by deployments of one project
		o := datacache.Owner{Project: ownerA.Project, Deployment: lateen.DeploymentID("dpl_a" + strconv.Itoa(n%4))}
		put(t, d, o, strconv.Itoa(n), datacache.Item{})
	}
	expectData(t, d, ownerB, "fresh  1", "k")
	files, err := filepath.Glob(filepath.Join(dir, "entries", "*", "*", "*"))
	if err != nil || len(files) > limit || len(files) < limit/2 {
		t.Errorf("%d entries on disk, %v", len(files), err)
	}
}
