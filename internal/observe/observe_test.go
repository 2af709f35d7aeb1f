package observe_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
)

// bubble runs a test on synthetic time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

// start opens a log and runs it until stop is called or the test ends.
func start(t testing.TB, o observe.Options) (l *observe.Log, stop func()) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	l, err := observe.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return l, stop
}

// settle waits until accepted entries can be read.
func settle() {
	time.Sleep(200 * time.Millisecond)
	synctest.Wait()
}

func now() lateen.Millis { return lateen.MillisOf(time.Now()) }

func query(t *testing.T, l *observe.Log, q observe.Query) []observe.Entry {
	t.Helper()
	entries, _, err := l.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func same(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(observe.Entry{}, "Cursor", "Rows")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEverythingOfARequestComesTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		record := lateen.Record{
			ID: "req_1", Time: now(), Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Target: "production", Branch: "main",
			Method: "GET", Host: "a.example.com", Path: "/a", Status: 200, Kind: "function", Duration: time.Second,
			Invocation: &lateen.Invocation{Function: "a", Start: lateen.StartCold, Load: 7},
		}
		line := func(text string) lateen.LogLine {
			return lateen.LogLine{
				Time: now(), Request: "req_1", Project: "prj_1", Deployment: "dpl_1", Function: "a", Instance: "ins_1",
				Level: lateen.LevelWarning, Source: "function", Text: text,
			}
		}
		want := observe.Entry{Record: lateen.Record{ID: "req_1", Time: now(), Project: "prj_1", Deployment: "dpl_1", Kind: "function"}}
		add := func(text string) {
			want.Lines = append(want.Lines, line(text))
			l.Log(line(text))
		}
		add("long before")
		settle()
		same(t, []observe.Entry{want}, query(t, l, observe.Query{Project: "prj_1"})) // it has not ended
		add("before")
		l.Record(record)
		want.Record = record
		add("after")
		settle()
		add("long after ☃")
		settle()
		same(t, []observe.Entry{want}, query(t, l, observe.Query{Request: "req_1"}))
	})
}

func TestLinesOutsideOfAnyRequestAreEntriesOfTheirOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		boot := lateen.LogLine{Time: now(), Project: "prj_1", Deployment: "dpl_1", Function: "a", Instance: "ins_1", Level: lateen.LevelError, Source: "function"}
		first, second, other := boot, boot, boot
		first.Text, second.Text, other.Text = "cannot", "load", "another's"
		other.Instance, other.Time = "ins_2", other.Time+1
		l.Log(first)
		l.Log(other)
		l.Log(second)
		settle()
		record := lateen.Record{Time: boot.Time, Project: "prj_1", Deployment: "dpl_1", Kind: "function"}
		later := record
		later.Time++
		same(t, []observe.Entry{
			{Record: later, Lines: []lateen.LogLine{other}},
			{Record: record, Lines: []lateen.LogLine{first, second}},
		}, query(t, l, observe.Query{Project: "prj_1", Levels: []string{"error"}}))
		same(t, []observe.Entry(nil), query(t, l, observe.Query{Request: "req_1"}))
	})
}

func TestStopWritesAcceptedEntriesAndRefusesLaterOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		l, stop := start(t, observe.Options{Dir: dir})
		for i := range 1000 {
			l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint(i)), Time: now(), Project: "prj_1"})
		}
		stop()
		l.Record(lateen.Record{ID: "late"})
		l.Log(lateen.LogLine{Request: "late"})
		if s := l.Stats(); s.Records != 1001 || s.DroppedRecords != 1 || s.DroppedLines != 1 || s.Queued != 0 {
			t.Errorf("stats are %+v", s)
		}
		l, _ = start(t, observe.Options{Dir: dir})
		if got := len(query(t, l, observe.Query{Project: "prj_1", Limit: 1000})); got != 1000 {
			t.Errorf("%d of 1000 records are left after a restart", got)
		}
	})
}

func TestLinesAreCut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		l.Log(lateen.LogLine{Request: "long", Time: now(), Text: strings.Repeat("x", observe.MaxLineBytes-1) + "☃☃"})
		l.Log(lateen.LogLine{Request: "just right", Time: now(), Text: strings.Repeat("x", observe.MaxLineBytes)})
		settle()
		long := query(t, l, observe.Query{Request: "long"})[0].Lines[0]
		if !long.Truncated || long.Text != strings.Repeat("x", observe.MaxLineBytes-1) {
			t.Errorf("a long line has %d bytes and ends with %q", len(long.Text), long.Text[len(long.Text)-4:])
		}
		right := query(t, l, observe.Query{Request: "just right"})[0].Lines[0]
		if right.Truncated || len(right.Text) != observe.MaxLineBytes {
			t.Errorf("a line that fits has %d bytes", len(right.Text))
		}
	})
}

func TestTheLinesOfARequestAreBounded(t *testing.T) {
	const big = observe.MaxRequestBytes / 5
	for name, c := range map[string]struct {
		size, count, every int // size of a line, number of lines, lines between two writes
		want               int
	}{
		"all that may be":        {size: 10, count: 256, every: 1000, want: 256},
		"too many":               {size: 10, count: 400, every: 1000, want: 256},
		"too many, bit by bit":   {size: 10, count: 400, every: 50, want: 256},
		"too many, to the brim":  {size: 10, count: 512, every: 256, want: 256},
		"too large":              {size: big, count: 8, every: 1000, want: 5},
		"too large, bit by bit":  {size: big, count: 8, every: 1, want: 5},
		"too large, at the last": {size: big, count: 6, every: 5, want: 5},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l, _ := start(t, observe.Options{})
				for i := range c.count {
					l.Log(lateen.LogLine{Request: "req_1", Time: now(), Text: strings.Repeat("x", c.size)})
					if i%c.every == c.every-1 {
						settle()
					}
				}
				l.Record(lateen.Record{ID: "req_1", Time: now()})
				settle()
				lines := query(t, l, observe.Query{Request: "req_1"})[0].Lines
				marked := c.want
				if c.count > c.want {
					marked++
				}
				if len(lines) != marked {
					t.Fatalf("%d lines of %d were stored, want %d", len(lines), c.count, marked)
				}
				for i, line := range lines {
					if isMark := line.Source == "platform" && line.Truncated; isMark != (i == c.want) {
						t.Errorf("line %d is %+v", i, line)
					}
				}
			})
		})
	}
}

func TestNothingBlocksAndDropsAreCounted(t *testing.T) {
	l, err := observe.Open(t.Context(), observe.Options{Dir: t.TempDir()}) // not running
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 100_000 {
		l.Log(lateen.LogLine{Request: "noisy", Text: "again"})
	}
	for i := range 20_000 {
		l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint(i))})
	}
	s := l.Stats()
	if kept := s.Records - s.DroppedRecords; kept < 10_000 || s.DroppedRecords == 0 {
		t.Errorf("beside a noisy request %d records of 20000 were accepted", kept)
	}
	large := strings.Repeat("x", observe.MaxLineBytes)
	for i := range 1000 {
		l.Log(lateen.LogLine{Request: lateen.RequestID(fmt.Sprint("large", i)), Text: large})
	}
	if s := l.Stats(); s.QueuedBytes > 33<<20 || s.DroppedLines == 0 {
		t.Errorf("the queue has %d bytes, dropped %d", s.QueuedBytes, s.DroppedLines)
	}
}

func TestSizeIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		const limit = 1 << 20
		l, _ := start(t, observe.Options{Dir: dir, MaxBytes: limit})
		text := strings.Repeat("text ", 800)
		for i := range 1000 { // four times the limit
			id := lateen.RequestID(fmt.Sprint(i))
			l.Log(lateen.LogLine{Request: id, Time: now(), Project: "prj_1", Text: text})
			l.Record(lateen.Record{ID: id, Time: now(), Project: "prj_1"})
			if i%25 == 24 {
				settle()
			}
		}
		settle()
		if s := l.Stats(); s.Bytes > limit+limit/4 || s.Bytes < limit/2 || s.DroppedRecords != 0 {
			t.Errorf("of %d bytes it uses %d", limit, s.Bytes)
		}
		if info, err := os.Stat(filepath.Join(dir, "logs.db")); err != nil || info.Size() > limit*3/2 {
			t.Errorf("the file has %d bytes, %v", info.Size(), err)
		}
		entries := query(t, l, observe.Query{Project: "prj_1", Limit: 100})
		if len(entries) != 100 || entries[0].ID != "999" || entries[99].ID != "900" {
			t.Errorf("of the newest 100 only %d are left", len(entries))
		}
		if got := query(t, l, observe.Query{Request: "0"}); len(got) != 0 {
			t.Error("the oldest was not removed")
		}
	})
}

func TestSizeIsBoundedHoweverManySmallEntriesCome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit = 1 << 20
		l, _ := start(t, observe.Options{MaxBytes: limit})
		for n := range 3 {
			for i := range 8000 { // more than one step of trim removes
				l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint(n, "-", i)), Time: now(), Project: "prj_1"})
			}
			settle()
			if s := l.Stats(); s.Bytes > limit+limit/4 || s.DroppedRecords != 0 {
				t.Fatalf("of %d bytes it uses %d", limit, s.Bytes)
			}
		}
	})
}

func TestAgeIsBoundedAndTheFileShrinks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		l, _ := start(t, observe.Options{Dir: dir, MaxBytes: 4 << 20, MaxAge: time.Hour})
		for i := range 3000 {
			l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint(i)), Time: now(), Project: "prj_1", Path: strings.Repeat("/a", 400)})
		}
		settle()
		before := fileSize(t, dir)
		time.Sleep(30 * time.Minute)
		l.Record(lateen.Record{ID: "young", Time: now(), Project: "prj_1"})
		time.Sleep(35 * time.Minute)
		synctest.Wait()
		entries := query(t, l, observe.Query{})
		if len(entries) != 1 || entries[0].ID != "young" {
			t.Errorf("%d entries are left, want the young one", len(entries))
		}
		if after := fileSize(t, dir); after > before/2 {
			t.Errorf("the file has %d bytes and had %d", after, before)
		}
	})
}

// fileSize returns the size of the log's files in dir.
func fileSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "logs.db"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestTheLogSupportsConcurrentUse(t *testing.T) {
	l, _ := start(t, observe.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var tails, wg sync.WaitGroup
	for range 3 {
		tails.Go(func() {
			for range l.Tail(ctx, observe.Query{Project: "prj_1"}) {
			}
		})
	}
	for worker := range 4 {
		wg.Go(func() {
			for i := range 200 {
				id := lateen.RequestID(fmt.Sprint(worker, "-", i))
				l.Log(lateen.LogLine{Request: id, Time: 1, Project: "prj_1", Text: "line"})
				l.Record(lateen.Record{ID: id, Time: now(), Project: "prj_1"})
				if i%20 == 0 {
					if _, _, err := l.Query(ctx, observe.Query{Search: "line"}); err != nil {
						t.Error(err)
					}
				}
				_ = l.Stats()
			}
		})
	}
	wg.Wait()
	cancel()
	tails.Wait()
}

// A reader of the live log distinguishes lines by their rows.
func TestNoTwoLinesShareARow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		rows := map[int64]string{}
		for l := range startsOf(t, dir, 2) {
			for _, request := range []lateen.RequestID{"req_1", "req_2", "", "req_1", "req_2", "req_1"} { // all late except the first
				for range 2 {
					l.Log(lateen.LogLine{Time: now(), Request: request, Project: "prj_1", Deployment: "dpl_1", Instance: "ins_1", Text: "line"})
				}
				settle()
			}
			clear(rows)
			for _, e := range query(t, l, observe.Query{Project: "prj_1"}) {
				for i, row := range e.Rows {
					if other, taken := rows[row]; taken {
						t.Errorf("row %d is of %s and of line %d of %s", row, other, i, e.ID)
					}
					rows[row] = string(e.ID)
				}
			}
		}
		if len(rows) != 24 {
			t.Errorf("%d lines have rows of their own, want 24", len(rows))
		}
	})
}

// startsOf yields the log of a directory, started the given number of times.
func startsOf(t *testing.T, dir string, times int) iter.Seq[*observe.Log] {
	return func(yield func(*observe.Log) bool) {
		for range times {
			l, stop := start(t, observe.Options{Dir: dir})
			more := yield(l)
			if stop(); !more {
				return
			}
		}
	}
}
