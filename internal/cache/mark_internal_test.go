package cache

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// freshnessOf is the effect of m on an entry that was started at at.
func freshnessOf(m *marks, at time.Time, tags ...string) (stale, expired bool) {
	f := m.freshness(&Entry{Tags: tags, Started: at})
	return f.stale != "", f.expires <= time.Now().UnixNano()
}

func openOrFail(t testing.TB, path string) *marks {
	t.Helper()
	m, err := openMarks(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestInvalidationsAfterATornLineCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invalidated")
	started, now := time.Now().Add(-time.Hour), time.Now()
	m := openOrFail(t, path)
	for _, name := range []string{"a", "b"} {
		if err := m.invalidate([]string{tagName(name)}, now.UnixNano(), now, 0); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		m := openOrFail(t, path)
		if err := m.invalidate([]string{tagName("c")}, now.UnixNano(), now, 0); err != nil {
			t.Fatal(err)
		}
		m = openOrFail(t, path)
		first := strings.IndexByte(string(whole), '\n')
		for tag, want := range map[string]bool{"a": cut > first, "b": false, "c": true} {
			if _, expired := freshnessOf(m, started, tag); expired != want {
				t.Fatalf("cut at %d of %d: tag %s is expired: %v, want %v", cut, len(whole), tag, expired, want)
			}
		}
	}
}

func TestALineThatWasChangedIsIgnored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invalidated")
	m := openOrFail(t, path)
	if err := m.invalidate([]string{tagName("a")}, time.Now().UnixNano(), time.Now(), 0); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-4] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if m = openOrFail(t, path); len(m.table) != 0 {
		t.Errorf("the table is %v", m.table)
	}
}

func TestRemovedNamesStayInvalidated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invalidated")
	m := openOrFail(t, path)
	start := time.Now().Add(-time.Hour)
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Millisecond) }
	names := make([]string, maxMarks/4)
	total := 0
	for total <= maxMarks {
		for i := range names {
			names[i] = tagName(strconv.Itoa(total + i))
		}
		if err := m.invalidate(names, at(total).UnixNano(), at(total), 0); err != nil {
			t.Fatal(err)
		}
		total += len(names)
	}
	for _, m := range []*marks{m, openOrFail(t, path)} {
		if len(m.table) > maxMarks {
			t.Errorf("the table has %d names", len(m.table))
		}
		for i := range total {
			if _, expired := freshnessOf(m, at(i/len(names)*len(names)-1), strconv.Itoa(i)); !expired {
				t.Fatalf("tag %d is no longer invalidated", i)
			}
		}
		if stale, expired := freshnessOf(m, at(total), "1", strconv.Itoa(total-1), "unused"); stale || expired {
			t.Error("a later entry is stale")
		}
	}
}

// A function may invalidate tags of any length, at any rate.
func TestALongTagTakesNoMoreThanAShortOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invalidated")
	m, now := openOrFail(t, path), time.Now()
	long := strings.Repeat("x", 1<<20)
	for i := range 10 {
		if err := m.invalidate([]string{tagName(long + strconv.Itoa(i))}, now.UnixNano(), now, 0); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 10*1024 {
		t.Errorf("the file has %d bytes for ten names", info.Size())
	}
	for _, m := range []*marks{m, openOrFail(t, path)} {
		for name := range m.table {
			if len(name) > maxName {
				t.Errorf("the table has a name of %d bytes", len(name))
			}
		}
		for tag, want := range map[string]bool{long + "3": true, long + "10": false, long: false} {
			if _, expired := freshnessOf(m, now.Add(-1), tag); expired != want {
				t.Errorf("a tag that ends in %q is expired: %v, want %v", tag[len(tag)-2:], expired, want)
			}
		}
	}
}

// An earlier version may have written the table with long names in full.
func TestALongNameOfAnEarlierVersionCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invalidated")
	tag, now := strings.Repeat("x", 1000), time.Now()
	if err := os.WriteFile(path, encodeMark(nil, tagPrefix+tag, Mark{Expired: now.UnixNano()}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, expired := freshnessOf(openOrFail(t, path), now.Add(-1), tag); !expired {
		t.Error("the tag is no longer invalidated")
	}
}

func TestTheFileOfInvalidationsDoesNotGrowForever(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invalidated")
	m := openOrFail(t, path)
	var names []string
	for i := range 50 {
		names = append(names, tagName(strconv.Itoa(i)))
	}
	for i := range 100 {
		if err := m.invalidate(names, time.Now().UnixNano(), time.Now(), time.Duration(i)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 200_000 {
		t.Errorf("the file has %d bytes for fifty names", info.Size())
	}
}

func TestTheTableOfRegeneratedGroupsIsBounded(t *testing.T) {
	m := openOrFail(t, filepath.Join(t.TempDir(), "invalidated"))
	now := time.Now()
	for i := range maxGroups + 100 {
		m.markRegenerated(strconv.Itoa(i), now)
	}
	if len(m.regenerated) > maxGroups {
		t.Errorf("the table has %d groups", len(m.regenerated))
	}
	last := &Entry{Group: strconv.Itoa(maxGroups + 99), Started: now.Add(-1)}
	if f := m.freshness(last); f.stale != ByGroup {
		t.Errorf("a member of the latest is %+v", f)
	}
}

func TestLatestCountsTagsOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invalidated")
	m := openOrFail(t, path)
	now := time.Now()
	if err := m.invalidate([]string{groupName("1")}, now.UnixNano(), now, 0); err != nil {
		t.Fatal(err)
	}
	if at := m.latest.Load(); at != 0 {
		t.Errorf("is %d after a group", at)
	}
	if err := m.invalidate([]string{tagName("a")}, now.UnixNano(), now, Soft); err != nil {
		t.Fatal(err)
	}
	if m = openOrFail(t, path); m.latest.Load() != now.UnixNano() {
		t.Errorf("is %d, want %d", m.latest.Load(), now.UnixNano())
	}
}

func FuzzDecodeMark(f *testing.F) {
	f.Add(string(encodeMark(nil, tagName("a"), Mark{Stale: 1, Expiring: 2, ExpiresAt: 3})))
	f.Add("00000000 {}\n")
	f.Fuzz(func(t *testing.T, line string) {
		rec, ok := decodeMark([]byte(line))
		if !ok {
			return
		}
		again, ok := decodeMark(encodeMark(nil, rec.Name, rec.Mark))
		if !ok || again != rec {
			t.Errorf("%+v became %+v", rec, again)
		}
	})
}

func FuzzReadRecord(f *testing.F) {
	f.Add("")
	f.Add("body{}\x00\x00\x00\x02\xa3\x7c\x93\x2bltn\x01")
	f.Fuzz(func(t *testing.T, file string) {
		rec, err := readRecord(strings.NewReader(file), int64(len(file)))
		if err == nil && (rec.Size < 0 || rec.Size > int64(len(file))) {
			t.Errorf("a body of %d bytes in a file of %d", rec.Size, len(file))
		}
	})
}
