package cache

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// The file of an older page may be evicted while the newer page is in memory and its
// file is being written.
func TestAnOlderPageIsRemovedWithoutTheNewerOne(t *testing.T) {
	c, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	key := NewKey("dpl_1", "/")
	s := c.storage.scopeOf(key)
	show := func(text string) (*Entry, *spool) {
		sp := newSpool(1024, 1024, func() (*atomicfile.File, error) { return atomicfile.Create(c.storage.tmp()) })
		if _, err := sp.add([]byte(text)); err != nil {
			t.Fatal(err)
		}
		e := &Entry{Status: 200, Started: c.Now(), Completed: time.Now(), Fresh: -1}
		sp.describe(e)
		c.storage.publish(s, key, e)
		return e, sp
	}
	older, file := show("older")
	if err := c.storage.store(s, key, older, file); err != nil {
		t.Fatal(err)
	}
	newer, file := show("newer")
	c.storage.remove(s, key.Hash, older.item)
	if e := c.Get(key); e == nil || string(e.Bytes()) != "newer" {
		t.Fatalf("got %v in place of the newer page", e)
	}
	if err := c.storage.store(s, key, newer, file); err != nil {
		t.Fatal(err)
	}
	c.storage.remove(s, key.Hash, newer.item)
	if e := c.Get(key); e != nil || c.Used() != 0 {
		t.Errorf("got %v after the removal; %d bytes are used", e, c.Used())
	}
}

// The names of all scopes together have a bound; past it, the tenant with most loses
// some.
func TestAProjectWithTooManyInvalidatedNamesLosesItsOwn(t *testing.T) {
	c, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	marked := func(scope, tenant string, n int) {
		s := c.storage.scopeOf(Key{Scope: scope, Tenant: tenant})
		for i := range n {
			s.marks.setLocked(tagName(strconv.Itoa(i)), Mark{Expired: int64(i)})
		}
	}
	marked("dpl_small", "small", maxMarks/2)
	for _, tenant := range []string{"large", ""} { // "" has the scopes without a known project
		for i := range 2 * maxMarked / maxMarks {
			marked("dpl_"+tenant+strconv.Itoa(i), tenant, maxMarks*3/8)
		}
		if err := c.Invalidate([]string{"dpl_" + tenant + "0"}, []string{"one more"}, 0); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, s := range c.storage.allScopes() {
			total += s.marks.count()
		}
		if total > maxMarked {
			t.Errorf("there are %d names; %d is the bound", total, maxMarked)
		}
		if n := c.storage.scope("dpl_small").marks.count(); n != maxMarks/2 {
			t.Errorf("the project with few names has %d, want %d", n, maxMarks/2)
		}
	}
}

// With more scopes than the bound on names, each scope still has one name, and no
// more can be removed.
func TestNamesAreRemovedUntilEachScopeHasOne(t *testing.T) {
	c, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	scopes := []string{"dpl_1", "dpl_2", "dpl_3"}
	for _, scope := range scopes {
		c.storage.scopeOf(Key{Scope: scope, Tenant: scope})
	}
	if err := c.Invalidate(scopes, []string{"tag"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.storage.removeNames(2); err != nil {
		t.Fatal(err)
	}
	for _, scope := range scopes {
		s := c.storage.scope(scope)
		if f := s.marks.freshness(&Entry{Started: time.Unix(1, 0), Tags: []string{"tag"}}); s.marks.count() != 1 || f.expires == math.MaxInt64 {
			t.Errorf("%s has %d names, and an older page expires at %d", scope, s.marks.count(), f.expires)
		}
	}
}
