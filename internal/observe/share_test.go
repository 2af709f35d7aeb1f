package observe_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
)

// One project writes ten times the limit of the log. The earlier entries of another
// project remain, and the newest of the noisy one.
func TestLogsOfOneProjectDoNotPushThoseOfAnotherOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit, quiet = 1 << 20, 50
		l, _ := start(t, observe.Options{MaxBytes: limit})
		write := func(project lateen.ProjectID, i int, text string) {
			id := lateen.RequestID(fmt.Sprint(project, i))
			l.Log(lateen.LogLine{Request: id, Time: now(), Project: project, Text: text})
			l.Record(lateen.Record{ID: id, Time: now(), Project: project})
		}
		for i := range quiet {
			write("quiet", i, "a line of the quiet project")
		}
		settle()
		text := strings.Repeat("text ", 1000)
		for i := range 1000 {
			write("noisy", i, text)
			if i%50 == 49 {
				settle()
			}
		}
		settle()
		if n := len(query(t, l, observe.Query{Project: "quiet", Limit: 100})); n != quiet {
			t.Errorf("of %d requests of the quiet project %d are left", quiet, n)
		}
		noisy := query(t, l, observe.Query{Project: "noisy", Limit: 100})
		if len(noisy) != 100 || noisy[0].ID != "noisy999" || noisy[99].ID != "noisy900" {
			t.Errorf("of the newest 100 requests of the noisy project %d are left", len(noisy))
		}
		if s := l.Stats(); s.Bytes > 2*limit || s.DroppedRecords+s.DroppedLines != 0 {
			t.Errorf("of %d bytes the log uses %d, and dropped %d records", limit, s.Bytes, s.DroppedRecords)
		}
	})
}

func TestAProjectThatFillsItsShareOfTheQueueDoesNotBlockOthers(t *testing.T) {
	l, err := observe.Open(t.Context(), observe.Options{Dir: t.TempDir()}) // not running
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	large := strings.Repeat("x", observe.MaxLineBytes)
	for i := range 100_000 {
		l.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint("noisy", i)), Project: "noisy"})
		if i < 1000 {
			l.Log(lateen.LogLine{Request: lateen.RequestID(fmt.Sprint("large", i)), Project: "noisy", Text: large})
		}
	}
	before := l.Stats()
	if before.DroppedRecords == 0 || before.DroppedLines == 0 {
		t.Fatalf("the noisy project has not filled its share: %+v", before)
	}
	for i := range 1000 {
		id := lateen.RequestID(fmt.Sprint("quiet", i))
		l.Record(lateen.Record{ID: id, Project: "quiet"})
		l.Log(lateen.LogLine{Request: id, Project: "quiet", Text: "a line"})
	}
	if after := l.Stats(); after.DroppedRecords != before.DroppedRecords || after.DroppedLines != before.DroppedLines {
		t.Errorf("of 1000 requests of the quiet project %d records and %d lines were dropped",
			after.DroppedRecords-before.DroppedRecords, after.DroppedLines-before.DroppedLines)
	}
}
