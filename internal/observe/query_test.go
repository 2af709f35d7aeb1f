package observe_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
)

func TestQueryFilters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		began := now()
		for i, r := range []lateen.Record{
			{ID: "page", Project: "prj_1", Deployment: "dpl_1", Target: "production", Branch: "main", Path: "/Index", Status: 200, Kind: "static"},
			{ID: "lost", Project: "prj_1", Deployment: "dpl_1", Target: "production", Path: "/100%_a", Status: 404, Kind: "error", Error: ""},
			{ID: "crash", Project: "prj_1", Deployment: "dpl_2", Target: "preview", Path: "/api", Status: 500, Kind: "function"},
			{ID: "chatty", Project: "prj_1", Deployment: "dpl_2", Target: "preview", Path: "/api", Status: 200, Kind: "edge", Middleware: &lateen.Invocation{}},
			{ID: "reason", Project: "prj_1", Deployment: "dpl_2", Target: "preview", Path: "/b", Status: 413, Kind: "error", Error: "too_large"},
			{ID: "isr", Project: "prj_1", Deployment: "dpl_2", Target: "preview", Path: "/isr", Status: 200, Kind: "prerender"},
			{ID: "other", Project: "prj_2", Path: "/api", Status: 200, Kind: "static"},
		} {
			r.Time = began + lateen.Millis(i)
			l.Record(r)
		}
		for _, level := range []string{"info", "warning", "debug"} {
			l.Log(lateen.LogLine{Request: "chatty", Project: "prj_1", Level: level, Text: "Said in " + level + ` \o/ 50%`})
		}
		settle()
		for _, c := range []struct {
			query observe.Query
			want  []string
		}{
			{observe.Query{}, []string{"other", "isr", "reason", "chatty", "crash", "lost", "page"}},
			{observe.Query{Project: "prj_2"}, []string{"other"}},
			{observe.Query{Project: "prj_3"}, nil},
			{observe.Query{Project: "prj_1", Deployment: "dpl_1"}, []string{"lost", "page"}},
			{observe.Query{Environment: "production"}, []string{"lost", "page"}},
			{observe.Query{Branch: "main"}, []string{"page"}},
			{observe.Query{Request: "crash"}, []string{"crash"}},
			{observe.Query{Project: "prj_2", Request: "crash"}, nil},
			{observe.Query{Since: began + 2, Until: began + 4}, []string{"chatty", "crash"}},
			{observe.Query{Status: "404"}, []string{"lost"}},
			{observe.Query{Status: "4xx"}, []string{"reason", "lost"}},
			{observe.Query{Status: "5XX"}, []string{"crash"}},
			{observe.Query{Status: "3xx"}, nil},
			{observe.Query{Levels: []string{"error"}}, []string{"reason", "crash"}},
			{observe.Query{Levels: []string{"warning"}}, []string{"chatty", "lost"}},
			{observe.Query{Levels: []string{"info"}}, []string{"other", "isr", "chatty", "page"}},
			{observe.Query{Levels: []string{"error", "warning"}}, []string{"reason", "chatty", "crash", "lost"}},
			{observe.Query{Levels: []string{"fatal"}}, nil},
			{observe.Query{Source: "static"}, []string{"other", "page"}},
			{observe.Query{Source: "serverless"}, []string{"isr", "crash"}},
			{observe.Query{Source: "edge-function,function"}, []string{"chatty", "crash"}},
			{observe.Query{Source: "edge-middleware"}, []string{"chatty"}},
			{observe.Query{Search: "INDEX"}, []string{"page"}},
			{observe.Query{Search: "said in WARNING"}, []string{"chatty"}},
			{observe.Query{Search: "0%"}, []string{"chatty", "lost"}},
			{observe.Query{Search: "%_a"}, []string{"lost"}},
			{observe.Query{Search: `\o`}, []string{"chatty"}},
			{observe.Query{Search: "in%g"}, nil},
		} {
			var got []string
			for _, e := range query(t, l, c.query) {
				got = append(got, string(e.ID))
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%+v: got %v, want %v", c.query, got, c.want)
			}
		}
	})
}

func TestQueryRefusesAMalformedStatus(t *testing.T) {
	l, _ := start(t, observe.Options{})
	for _, status := range []string{"x", "5x", "xx", "0xx", "10xx", "-5xx", "99", "600", "1000", "6xx", "9xx", "404 OR 1", "4.4"} {
		_, _, err := l.Query(t.Context(), observe.Query{Status: status})
		if !errors.Is(err, lateen.ErrInvalid) {
			t.Errorf("%q: %v", status, err)
		}
		for range l.Tail(t.Context(), observe.Query{Status: status}) {
			t.Errorf("%q: it can be followed", status)
		}
	}
}

func TestQueryPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		for i := range 25 {
			l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint(i)), Time: now() + lateen.Millis(i/5), Project: "prj_1"})
		}
		settle()
		var got []string
		for page := 0; ; page++ {
			entries, more, err := l.Query(t.Context(), observe.Query{Project: "prj_1", Limit: 10, Page: page})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				got = append(got, string(e.ID))
			}
			if more != (page < 2) {
				t.Errorf("more entries after page %d: %v", page, more)
			}
			if !more {
				break
			}
		}
		var want []string
		for i := 24; i >= 0; i-- {
			want = append(want, fmt.Sprint(i))
		}
		same(t, want, got)
		if n := len(query(t, l, observe.Query{})); n != 25 {
			t.Errorf("without a limit the query returns %d", n)
		}
		entries, more, err := l.Query(t.Context(), observe.Query{Limit: 25})
		if len(entries) != 25 || more || err != nil {
			t.Errorf("%d entries, more %v, %v", len(entries), more, err)
		}
		if entries, _, err := l.Query(t.Context(), observe.Query{Page: -1, Limit: 5}); len(entries) != 5 || err != nil {
			t.Errorf("page -1: %d entries, %v", len(entries), err)
		}
	})
}

func TestAReplyIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		text := string(make([]byte, observe.MaxLineBytes))
		for i := range 80 { // 20 MiB
			l.Log(lateen.LogLine{Request: lateen.RequestID(fmt.Sprint(i)), Time: now(), Text: text})
		}
		settle()
		size := 0
		entries := query(t, l, observe.Query{})
		for _, e := range entries {
			size += len(e.Lines[0].Text)
		}
		if len(entries) != 80 || size > 17<<20 {
			t.Errorf("%d entries have %d bytes", len(entries), size)
		}
	})
}

func TestPagesNeitherRepeatNorMissEntriesWhileOthersCome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := start(t, observe.Options{})
		for i := range 20 {
			l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint(i)), Time: now() + lateen.Millis(i/5), Project: "prj_1"})
		}
		settle()
		var got, want []string
		for q := (observe.Query{Project: "prj_1", Limit: 6}); ; {
			entries, more, err := l.Query(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				got = append(got, string(e.ID))
			}
			if !more {
				break
			}
			q.Before = entries[len(entries)-1].Cursor
			l.Record(lateen.Record{ID: "new" + entries[0].ID, Time: now(), Project: "prj_1"})
			settle()
		}
		for i := 19; i >= 0; i-- {
			want = append(want, fmt.Sprint(i))
		}
		same(t, want, got)
	})
}

func TestQueriesThatAreTooLargeAreInvalid(t *testing.T) {
	for name, q := range map[string]observe.Query{
		"a search of 60,000 characters": {Search: strings.Repeat("x", 60_000)},
		"no such source":                {Source: "x') OR ('1"},
		"2,000 sources":                 {Source: strings.Repeat("static,", 2000)},
		"no cursor":                     {Before: "yesterday"},
		"no cursor of a followed log":   {After: "17-4"},
	} {
		if err := q.Validate(); !errors.Is(err, lateen.ErrInvalid) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}
