package observe_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
)

// follow collects what a query follows until stop.
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

// lateOf is a line as its entry, which has no deployment, tells it.
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
		if got := stop(); len(got) > 1 { // the database may be closed before it is read
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

func TestTailTellsASlowReaderWhatItLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		const total = 300
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range total {
				l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint(i)), Time: now(), Project: "prj_1"})
				settle()
			}
		})
		defer wg.Wait()
		read, lost := 0, 0
		for e := range l.Tail(t.Context(), observe.Query{Project: "prj_1"}) {
			if read == 0 {
				time.Sleep(50 * time.Second) // while 250 come
			}
			read++
			lost += e.Lost
			if string(e.ID) == fmt.Sprint(total-1) {
				break
			}
		}
		if read+lost != total || lost < 100 {
			t.Errorf("read %d and lost %d of %d", read, lost, total)
		}
		if got := l.Stats().LostEntries; got != uint64(lost) {
			t.Errorf("%d are counted as lost", got)
		}
	})
}
