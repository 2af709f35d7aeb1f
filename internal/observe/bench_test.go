package observe_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
)

func benchRecord(i int) lateen.Record {
	return lateen.Record{
		ID: lateen.RequestID(fmt.Sprintf("req_%026d", i)), Time: lateen.Millis(1_800_000_000_000 + i), Team: "team_01", Project: "prj_01", Deployment: "dpl_01",
		Target: "production", Branch: "main", Method: "GET", Host: "shop.example.com", Path: "/products/winter/jacket", Status: 200,
		ClientIP: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", Kind: "function", Output: "/products/[...slug]",
		Duration: 12 * time.Millisecond, Invocation: &lateen.Invocation{Function: "products", Instance: "ins_01", Start: lateen.StartWarm, Handler: 11 * time.Millisecond},
	}
}

func benchLine(i int) lateen.LogLine {
	return lateen.LogLine{
		Time: lateen.Millis(1_800_000_000_000 + i), Request: lateen.RequestID(fmt.Sprintf("req_%026d", i)), Project: "prj_01", Deployment: "dpl_01",
		Function: "products", Instance: "ins_01", Level: lateen.LevelInfo, Source: "function", Text: "rendered the page of a winter jacket in 11 ms",
	}
}

// BenchmarkTake measures the cost for a request: accepting its record and two lines.
func BenchmarkTake(b *testing.B) {
	l, _ := start(b, observe.Options{})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.Log(benchLine(i))
		l.Log(benchLine(i))
		l.Record(benchRecord(i))
		i++
	}
}

// BenchmarkWrite measures writing a request with its record and two lines, at full
// speed.
func BenchmarkWrite(b *testing.B) {
	l, _ := start(b, observe.Options{MaxBytes: 64 << 20})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.Log(benchLine(i))
		l.Log(benchLine(i))
		l.Record(benchRecord(i))
		for i++; l.Stats().Queued > 12_000; {
			runtime.Gosched()
		}
	}
	for l.Stats().Queued > 0 {
		runtime.Gosched()
	}
	if s := l.Stats(); s.DroppedRecords+s.DroppedLines > 0 {
		b.Errorf("dropped %d records and %d lines", s.DroppedRecords, s.DroppedLines)
	}
}

// BenchmarkWriteRecord measures writing a request without lines, such as one for a
// file.
func BenchmarkWriteRecord(b *testing.B) {
	l, _ := start(b, observe.Options{MaxBytes: 64 << 20})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.Record(benchRecord(i))
		for i++; l.Stats().Queued > 12_000; {
			runtime.Gosched()
		}
	}
	for l.Stats().Queued > 0 {
		runtime.Gosched()
	}
	if s := l.Stats(); s.DroppedRecords > 0 {
		b.Errorf("dropped %d records", s.DroppedRecords)
	}
}

// BenchmarkQuery reads a page of 50 among 20,000 requests.
func BenchmarkQuery(b *testing.B) {
	l, _ := start(b, observe.Options{})
	for i := range 20_000 {
		l.Log(benchLine(i))
		l.Record(benchRecord(i))
		for l.Stats().Queued > 12_000 {
			runtime.Gosched()
		}
	}
	for l.Stats().Queued > 0 {
		runtime.Gosched()
	}
	for name, q := range map[string]observe.Query{
		"newest": {Project: "prj_01"}, "search found": {Project: "prj_01", Search: "winter"}, "search not found": {Project: "prj_01", Search: "summer"},
		"request": {Request: "req_00000000000000000000010000"},
	} {
		q.Limit = 50
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := l.Query(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
