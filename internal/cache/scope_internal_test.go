package cache

import (
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
