package observe_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
)

// follow collects the entries of a followed query until stop.
func follow(t *testing.T, l *observe.Log, q observe.Query) (stop func() []observe.Entry) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []observe.Entry)
	go func() {
		var all []observe.Entry
		for e := range l.Tail(ctx, q) {
			all = append(all, e)
		}
		done <- all
	}()
	synctest.Wait()
	return func() []observe.Entry {
		cancel()
		return <-done
	}
}

func TestTailFollowsRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		l.Record(lateen.Record{ID: "before", Time: now(), Project: "prj_1"})
		settle()
		stop := follow(t, l, observe.Query{Project: "prj_1"})
		line := lateen.LogLine{Time: now(), Project: "prj_1", Deployment: "dpl_1", Level: "info", Source: "function"}
		of := func(request lateen.RequestID, text string) lateen.LogLine {
			line := line
			line.Request, line.Text = request, text
			return line
		}
		record := lateen.Record{ID: "req_1", Time: now(), Project: "prj_1", Deployment: "dpl_1", Path: "/a"}

		l.Log(of("req_1", "early"))
		settle() // its request has not ended
		l.Log(of("", "outside"))
		settle()
		l.Record(record)
		l.Log(of("req_1", "at the end"))
		settle()
		l.Log(of("req_1", "late"))
		l.Log(of("before", "very late"))
		l.Record(lateen.Record{ID: "theirs", Time: now(), Project: "prj_2"})
		settle()
		same(t, []observe.Entry{
			{Record: lateen.Record{Time: line.Time, Project: "prj_1", Deployment: "dpl_1", Kind: "function"}, Lines: []lateen.LogLine{of("", "outside")}},
			{Record: record, Lines: []lateen.LogLine{of("req_1", "early"), of("req_1", "at the end")}},
			{Record: lateen.Record{ID: "before", Time: line.Time - 200, Project: "prj_1"}, Lines: []lateen.LogLine{lateOf(of("before", "very late"))}},
			{Record: record, Lines: []lateen.LogLine{of("req_1", "late")}},
		}, stop())
	})
}

// lateOf returns a line as in a late entry, which has no deployment.
func lateOf(line lateen.LogLine) lateen.LogLine {
	line.Deployment = ""
	return line
}

func TestTailFilters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		for q, want := range map[*observe.Query]int{
			{Deployment: "dpl_1"}: 2, {Status: "5xx"}: 1, {Levels: []string{"error"}}: 1, {Search: "needle"}: 1,
			{Project: "prj_2"}: 0, {Environment: "preview"}: 1, {}: 3, {Limit: 1, Page: 7}: 3,
		} {
			stop := follow(t, l, *q)
			id := lateen.RequestID(fmt.Sprintf("%p", q))
			l.Log(lateen.LogLine{Request: id + "a", Project: "prj_1", Text: "a needle"})
			l.Record(lateen.Record{ID: id + "a", Time: now(), Project: "prj_1", Deployment: "dpl_1", Status: 200})
			l.Record(lateen.Record{ID: id + "b", Time: now(), Project: "prj_1", Deployment: "dpl_1", Status: 500})
			l.Record(lateen.Record{ID: id + "c", Time: now(), Project: "prj_1", Deployment: "dpl_2", Target: "preview"})
			settle()
			if got := stop(); len(got) != want {
				t.Errorf("%+v chose %d, want %d", *q, len(got), want)
			}
		}
		if n := l.Stats().Readers; n != 0 {
			t.Errorf("%d readers are left", n)
		}
	})
}

func TestTailEndsWithTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, end := start(t, observe.Options{})
		stop := follow(t, l, observe.Query{})
		l.Record(lateen.Record{ID: "last", Time: now()})
		end()
		if got := stop(); len(got) > 1 { // the database may be closed before the read
			t.Errorf("got %v", got)
		}
		for range l.Tail(t.Context(), observe.Query{}) {
			t.Error("a log that has ended can be followed")
		}
	})
}

func TestTailEndsWithItsReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		go func() {
			time.Sleep(time.Second)
			l.Record(lateen.Record{ID: "a", Time: now()})
			l.Record(lateen.Record{ID: "b", Time: now()})
		}()
		n := 0
		for range l.Tail(t.Context(), observe.Query{}) {
			n++
			break
		}
		if s := l.Stats(); n != 1 || s.Readers != 0 {
			t.Errorf("read %d, %d readers are left", n, s.Readers)
		}
	})
}

func TestASlowReaderLosesNoEntry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		const total = 300
		var wg sync.WaitGroup
		wg.Go(func() { recordAll(l, total) })
		defer wg.Wait()
		read := 0
		for e := range l.Tail(t.Context(), observe.Query{Project: "prj_1"}) {
			if read == 0 {
				time.Sleep(50 * time.Second) // 250 requests are recorded meanwhile
			}
			if want := lateen.RequestID(fmt.Sprint(read)); e.ID != want || e.Lost != 0 {
				t.Fatalf("read %s with %d lost, want %s", e.ID, e.Lost, want)
			}
			if read++; read == total {
				break
			}
		}
	})
}

// recordAll records requests with the ids 0, 1, ..., each in its own batch.
func recordAll(l *observe.Log, total int) {
	for i := range total {
		l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint(i)), Time: now(), Project: "prj_1"})
		settle()
	}
}

func TestEntriesThatAreRemovedBeforeTheyAreReadAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{MaxAge: 10 * time.Minute})
		next, stop := iter.Pull(l.Tail(t.Context(), observe.Query{Project: "prj_1"}))
		defer stop()
		go recordAll(l, 1)
		if e, ok := next(); !ok || e.ID != "0" {
			t.Fatalf("read %q", e.ID)
		}
		for i := range 5 {
			l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint("old", i)), Time: now(), Project: "prj_1"})
			l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint("theirs", i)), Time: now(), Project: "prj_2"})
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		l.Record(lateen.Record{ID: "new", Time: now(), Project: "prj_1"})
		settle()
		if e, ok := next(); !ok || e.ID != "new" || e.Lost != 5 {
			t.Errorf("read %q with %d lost, want new with 5 lost", e.ID, e.Lost)
		}
		if got := l.Stats().LostEntries; got != 5 {
			t.Errorf("%d entries are counted as lost, want 5", got)
		}
	})
}

// A reader that was disconnected after any entry resumes at its cursor: it reads
// every later request and line once. This holds for a request whose lines were
// recorded long before its record, and for lines recorded after it, with or without
// a restart of the log in between.
func TestTailGoesOnAfterACursor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		l, end := start(t, observe.Options{Dir: dir})
		begin := l.Latest()
		stop := follow(t, l, observe.Query{Project: "prj_1"})
		log := func(request lateen.RequestID, text string) {
			l.Log(lateen.LogLine{Time: now(), Request: request, Project: "prj_1", Deployment: "dpl_1", Level: "info", Source: "function", Text: text})
		}
		record := func(id lateen.RequestID, project lateen.ProjectID) {
			l.Record(lateen.Record{ID: id, Time: now(), Project: project, Deployment: "dpl_1"})
		}
		log("slow", "early line of a request that ends last")
		settle()
		for i := range 120 { // more than a page
			record(lateen.RequestID(fmt.Sprint("a", i)), "prj_1")
			record(lateen.RequestID(fmt.Sprint("b", i)), "prj_2")
		}
		log("", "outside of any request")
		settle()
		log("a7", "late")
		log("a3", "late")
		record("c", "prj_1")
		settle()
		log("a7", "later")
		settle()
		record("slow", "prj_1")
		settle()
		live := stop()
		if len(live) != 126 {
			t.Fatalf("%d entries were followed, want 126", len(live))
		}
		for i, e := range live {
			if i%20 != 19 && i < len(live)-8 {
				continue
			}
			same(t, said(live[i+1:]), said(follow(t, l, observe.Query{Project: "prj_1", After: e.Cursor})()))
		}
		end()
		l, _ = start(t, observe.Options{Dir: dir})
		same(t, said(live[60:]), said(follow(t, l, observe.Query{Project: "prj_1", After: live[59].Cursor})()))
		// From the beginning, all batches are one span: late lines come with their
		// requests.
		all := follow(t, l, observe.Query{Project: "prj_1", After: begin})()
		if len(all) != 123 || all[len(all)-1].ID != "slow" {
			t.Errorf("%d entries were read at once, want 123 with the slow request last", len(all))
		}
		for i, e := range all {
			if i%20 != 19 && i < len(all)-4 {
				continue
			}
			same(t, said(all[i+1:]), said(follow(t, l, observe.Query{Project: "prj_1", After: e.Cursor})()))
		}
	})
}

// said lists the requests without lines, and the lines, of entries.
func said(entries []observe.Entry) (list []string) {
	for _, e := range entries {
		if len(e.Lines) == 0 {
			list = append(list, string(e.ID))
		}
		for _, line := range e.Lines {
			list = append(list, string(e.ID)+" "+line.Text)
		}
	}
	slices.Sort(list)
	return list
}

func TestTailGoesOnLiveAfterACursor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		begin := l.Latest()
		l.Record(lateen.Record{ID: "before", Time: now(), Project: "prj_1"})
		settle()
		stop := follow(t, l, observe.Query{Project: "prj_1", After: begin})
		l.Record(lateen.Record{ID: "live", Time: now(), Project: "prj_1"})
		settle()
		if got := stop(); len(got) != 2 || got[0].ID != "before" || got[1].ID != "live" {
			t.Errorf("read %v, want before and live", got)
		}
	})
}

func TestStalledReadersUseLittleMemory(t *testing.T) {
	t.Run("of long lines", func(t *testing.T) { holdsLittle(t, strings.Repeat("x", 100<<10), "/") })
	t.Run("of long records", func(t *testing.T) { holdsLittle(t, "x", "/"+strings.Repeat("x", 4<<10)) })
}

func holdsLittle(t *testing.T, line, path string) {
	l, _ := start(t, observe.Options{})
	after := l.Latest()
	const entries, readers = 100, 40
	for n := range entries {
		id := lateen.RequestID(fmt.Sprintf("req_%d", n))
		l.Log(lateen.LogLine{Time: now(), Project: "prj_1", Request: id, Text: line})
		l.Record(lateen.Record{ID: id, Time: now(), Project: "prj_1", Path: path, UserAgent: path, Referer: path, Host: path, Output: path, CacheReason: path, Error: path})
		for n%10 == 9 && len(query(t, l, observe.Query{Project: "prj_1", Request: id})) == 0 { // the queue is bounded
			runtime.Gosched()
		}
	}
	before := heap()
	var stops []func()
	for range readers {
		next, stop := iter.Pull(l.Tail(t.Context(), observe.Query{Project: "prj_1", After: after}))
		if _, ok := next(); !ok {
			t.Fatal("a reader gets nothing")
		}
		stops = append(stops, stop)
	}
	if held := (heap() - before) / readers; held > 1<<20 {
		t.Errorf("a reader that has read one entry holds %d bytes, want a mebibyte at most", held)
	}
	for _, stop := range stops {
		stop()
	}
	n := 0
	for range l.Tail(t.Context(), observe.Query{Project: "prj_1", After: after}) {
		if n++; n == entries {
			break
		}
	}
}

// heap returns the number of bytes in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
