package cache

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// TestAnOlderPageIsRemovedWithoutTheNewerOne: the file of an older page may be
// evicted while the newer page is in memory and its file is being written.
func TestAnOlderPageIsRemovedWithoutTheNewerOne(t *testing.T) {
	c, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	key := NewKey("dpl_1", "/")
	s := c.scopeOf(key)
	show := func(text string) (*Entry, *spool) {
		sp := newSpool(1024, 1024, func() (*atomicfile.File, error) { return atomicfile.Create(c.tmp()) })
		if _, err := sp.add([]byte(text)); err != nil {
			t.Fatal(err)
		}
		e := &Entry{Status: 200, Born: c.Now(), Kept: time.Now(), Fresh: -1}
		sp.describe(e)
		c.show(s, key, e)
		return e, sp
	}
	older, file := show("older")
	if err := c.keep(s, key, older, file); err != nil {
		t.Fatal(err)
	}
	newer, file := show("newer")
	c.remove(s, key.Hash, older.item)
	if e := c.Get(key); e == nil || string(e.Bytes()) != "newer" {
		t.Fatalf("got %v in place of the newer page", e)
	}
	if err := c.keep(s, key, newer, file); err != nil {
		t.Fatal(err)
	}
	c.remove(s, key.Hash, newer.item)
	if e := c.Get(key); e != nil || c.Used() != 0 {
		t.Errorf("got %v after the removal; %d bytes are used", e, c.Used())
	}
}

// TestAProjectThatInvalidatesWithoutEndForgetsItsOwn: names that are remembered
// have a bound for all together, and the tenant with most loses some first.
func TestAProjectThatInvalidatesWithoutEndForgetsItsOwn(t *testing.T) {
	c, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	marked := func(scope, tenant string, n int) {
		s := c.scopeOf(Key{Scope: scope, Tenant: tenant})
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
		for _, s := range c.all() {
			total += s.marks.count()
		}
		if total > maxMarked {
			t.Errorf("%d names are remembered; %d is the bound", total, maxMarked)
		}
		if n := c.scope("dpl_small").marks.count(); n != maxMarks/2 {
			t.Errorf("%d names of the project with few are remembered, want %d", n, maxMarks/2)
		}
	}
}

// TestForgettingEndsWhereEachScopeHasOneName: with more scopes than names are remembered
// of all together, nothing is left to be forgotten.
func TestForgettingEndsWhereEachScopeHasOneName(t *testing.T) {
	c, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	scopes := []string{"dpl_1", "dpl_2", "dpl_3"}
	for _, scope := range scopes {
		c.scopeOf(Key{Scope: scope, Tenant: scope})
	}
	if err := c.Invalidate(scopes, []string{"tag"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.forget(2); err != nil {
		t.Fatal(err)
	}
	for _, scope := range scopes {
		s := c.scope(scope)
		if f := s.marks.fate(&Entry{Born: time.Unix(1, 0), Tags: []string{"tag"}}); s.marks.count() != 1 || f.expires == math.MaxInt64 {
			t.Errorf("%s remembers %d names, and an older page expires at %d", scope, s.marks.count(), f.expires)
		}
	}
}
