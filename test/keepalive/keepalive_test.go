package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

// byTheMinute is a trace of one function with one request in each of the given
// minutes of length.
func byTheMinute(length int, minutes ...int) *trace {
	t := &trace{functions: make([]function, 1), end: minute(length), coarse: true}
	for _, m := range minutes {
		t.arrivals = append(t.arrivals, arrival{0, minute(m), 0, 1})
	}
	return t
}

// scripted is a policy that always makes the same plan, in minutes after now; 0: no prewarm.
type scripted struct{ keepFor, at, until int }

func (s scripted) arrive(int, time.Time) {}

func (s scripted) keep(_ int, now time.Time) autoscale.Plan {
	p := autoscale.Plan{KeepUntil: now.Add(minute(s.keepFor))}
	if s.at > 0 {
		p.PrewarmAt, p.PrewarmUntil = now.Add(minute(s.at)), now.Add(minute(s.until))
	}
	return p
}

func (scripted) prewarm(_ int, now time.Time) autoscale.Plan { return autoscale.Plan{KeepUntil: now} }

func (scripted) priority(int, time.Time, float64) float64 { return 0 }

func TestReplayHasTheExpectedOutcome(t *testing.T) {
	for _, tt := range []struct {
		name   string
		trace  *trace
		policy policy
		want   outcome
	}{
		{
			name: "the next request within the keep-alive", trace: byTheMinute(20, 0, 10), policy: fixed{10 * time.Minute},
			want: outcome{requests: 2, colds: 1, shares: []float64{50}, warm: minute(1 + 19), begun: 20},
		},
		{
			name: "the next request just after it", trace: byTheMinute(30, 0, 11), policy: fixed{10 * time.Minute},
			want: outcome{requests: 2, colds: 2, shares: []float64{100}, warm: minute(1 + 10 + 10), begun: 11 + 11},
		},
		{
			name: "every minute", trace: byTheMinute(5, 0, 1, 2, 3, 4), policy: fixed{time.Minute},
			want: outcome{requests: 5, colds: 1, shares: []float64{20}, warm: minute(5), begun: 5},
		},
		{
			name: "prewarmed and used", trace: byTheMinute(61, 0, 30, 60), policy: scripted{2, 28, 32},
			want: outcome{requests: 3, colds: 1, shares: []float64{100. / 3}, warm: minute(1 + 2 + 2 + 2 + 2), begun: 3 + 5 + 3, ahead: minute(4), prewarms: 2},
		},
		{
			name: "prewarmed and unused", trace: byTheMinute(61, 0, 40), policy: scripted{2, 28, 32},
			want: outcome{requests: 2, colds: 2, shares: []float64{100}, warm: minute(1 + 2 + 4 + 2), begun: 3 + 5 + 3, ahead: minute(4), prewarms: 1, wasted: 1},
		},
		{
			name: "prewarmed in the minute of the request: too late", trace: byTheMinute(31, 0, 28), policy: scripted{2, 28, 32},
			want: outcome{requests: 2, colds: 2, shares: []float64{100}, warm: minute(1 + 2 + 2), begun: 3 + 3},
		},
		{
			name: "prewarmed before it is stopped: not stopped", trace: byTheMinute(41, 0, 30), policy: scripted{10, 10, 30},
			want: outcome{requests: 2, colds: 1, shares: []float64{50}, warm: minute(1 + 30 + 10), begun: 41},
		},
		{
			name: "prewarmed when the trace ends", trace: byTheMinute(30, 0), policy: scripted{2, 28, 32},
			want: outcome{requests: 1, colds: 1, shares: []float64{100}, warm: minute(1 + 2 + 1), begun: 3 + 2, ahead: minute(1), prewarms: 1, wasted: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, *run(tt.trace, tt.policy, 0), cmp.AllowUnexported(outcome{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// By the minute, a fixed keep-alive has a formula: a cold start for the first
// request and after each longer pause; and warm time of a minute, each pause up to
// the keep-alive, and the remainder.
func TestFixedKeepAliveFollowsItsFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		keep, length := 1+rng.IntN(30), 100+rng.IntN(400)
		var minutes []int
		for m := range length {
			if rng.IntN(1+rng.IntN(40)) == 0 {
				minutes = append(minutes, m)
			}
		}
		if len(minutes) == 0 {
			continue
		}
		colds, warm := 1, 1+min(keep, length-1-minutes[len(minutes)-1])
		for i, m := range minutes[1:] {
			pause := m - minutes[i]
			warm += min(keep, pause)
			if pause > keep {
				colds++
			}
		}
		o := run(byTheMinute(length, minutes...), fixed{minute(keep)}, 0)
		if o.colds != colds || o.warm != minute(warm) {
			t.Fatalf("%d minutes, asked in %v: %d cold and %s; want %d and %d minutes", keep, minutes, o.colds, o.warm, colds, warm)
		}
	}
}

func TestToTheSecondAnInstanceIsKeptFromTheEndOfItsLastRequest(t *testing.T) {
	one := &trace{functions: make([]function, 1), end: time.Hour, arrivals: []arrival{
		{0, 0, 5 * time.Minute, 1},
		{0, time.Minute, time.Second, 1},
		{0, 14 * time.Minute, time.Second, 1},
		{0, 25 * time.Minute, 0, 1},
	}}
	o := run(one, fixed{10 * time.Minute}, 0)
	// Alive from 0 to 14:01 and 10 minutes and a second more; the last one from 25 to 35 and a second.
	if want := 24*time.Minute + 2*time.Second + 10*time.Minute + time.Second; o.colds != 2 || o.warm != want {
		t.Errorf("%d cold starts and %s, want 2 and %s", o.colds, o.warm, want)
	}
}

func TestInstancesStayWithinTheMemoryLimit(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	many := &trace{functions: make([]function, 20), end: 10 * time.Hour}
	for i := range many.functions {
		many.functions[i].memory = 100
	}
	for at := time.Duration(0); at < many.end; at += time.Duration(rng.Int64N(int64(time.Minute))) {
		many.arrivals = append(many.arrivals, arrival{rng.IntN(20), at, time.Second, 1})
	}
	free, tight := run(many, fixed{forever}, 0), run(many, fixed{forever}, 500)
	if free.evicted != 0 || free.colds != 20 {
		t.Errorf("without a limit: %d evicted, %d cold", free.evicted, free.colds)
	}
	if tight.evicted < 500 || tight.warm > 5*many.end || tight.colds <= free.colds {
		t.Errorf("five at a time: %d evicted, %d cold, %s held", tight.evicted, tight.colds, tight.warm)
	}
}

// synthetic returns a synthetic trace of functions of one kind.
func synthetic(seed uint64, pause func(rng *rand.Rand, n int) time.Duration) *trace {
	rng := rand.New(rand.NewPCG(seed, seed))
	t := &trace{functions: make([]function, 20), end: 48 * time.Hour}
	for f := range t.functions {
		at := time.Duration(rng.Int64N(int64(time.Hour)))
		for n := 0; at < t.end; n++ {
			t.arrivals = append(t.arrivals, arrival{f, at, 100 * time.Millisecond, 1})
			at += pause(rng, n)
		}
	}
	t.sort()
	return t
}

func TestTheLearnedKeepAliveCostsLittleMoreThanTheBestFixedOne(t *testing.T) {
	const worth = 20 * time.Minute // of a start of a second and 128 MiB, the defaults
	cost := func(o *outcome) float64 {
		return (time.Duration(o.colds)*worth + time.Duration(o.prewarms)*worth/4 + o.warm).Hours()
	}
	exponential := func(mean time.Duration) func(*rand.Rand, int) time.Duration {
		return func(rng *rand.Rand, _ int) time.Duration {
			return time.Duration(rng.ExpFloat64() * float64(mean))
		}
	}
	every := func(period, jitter time.Duration) func(*rand.Rand, int) time.Duration {
		return func(rng *rand.Rand, _ int) time.Duration {
			return period + time.Duration(rng.Int64N(int64(jitter)))
		}
	}
	for _, tt := range []struct {
		name  string
		pause func(rng *rand.Rand, n int) time.Duration
		most  float64 // of the best fixed one's cost
	}{
		{"every minute", every(time.Minute, time.Second), 1.05},
		{"every quarter of an hour", every(15*time.Minute, time.Second), 0.5},
		{"every hour", every(time.Hour, 30*time.Second), 0.5},
		{"every three hours, give or take", every(3*time.Hour, 10*time.Minute), 0.9},
		{"random, every two minutes", exponential(2 * time.Minute), 1.1},
		{"random, every twenty minutes", exponential(20 * time.Minute), 1.1},
		{"random, every two hours", exponential(2 * time.Hour), 1.1},
		{"bursts by rng", func(rng *rand.Rand, n int) time.Duration {
			if n%10 == 9 {
				return time.Duration(rng.ExpFloat64() * float64(90*time.Minute))
			}
			return time.Duration(rng.ExpFloat64() * float64(3*time.Second))
		}, 1.1},
		{"by day only", func(rng *rand.Rand, n int) time.Duration {
			if n%60 == 59 {
				return 14 * time.Hour
			}
			return time.Duration(rng.ExpFloat64() * float64(10*time.Minute))
		}, 1.1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := synthetic(1, tt.pause)
			best := cost(run(all, fixed{0}, 0))
			for _, keep := range []int{1, 2, 5, 10, 20, 60, 120} {
				best = min(best, cost(run(all, fixed{minute(keep)}, 0)))
			}
			learned := run(all, platformPolicy(all, autoscale.Policy{}), 0)
			if got := cost(learned) / best; got > tt.most {
				t.Errorf("%.2f times the cost of the best fixed one, want %.2f at most: %d cold, %s held, %d started ahead",
					got, tt.most, learned.colds, learned.warm.Round(time.Minute), learned.prewarms)
			}
		})
	}
}

const (
	perMinute = "HashOwner,HashApp,HashFunction,Trigger,480,481,482,483\no,a,f,timer,1,0,0,2\no,a,g,http,0,3,0,0\n"
	durations = "HashOwner,HashApp,HashFunction,Average,Count,Minimum\no,a,g,1500,3,1\n"
	sizes     = "HashFunction,HashOwner,HashApp,SampleCount,AverageAllocatedMb\nf,o,a,3,64.5\n"
	perCall   = "app,func,end_timestamp,duration\na,f,90.5,30.5\na,g,10,9\nb,f,61,0.25\n"
)

// writeTrace writes a file, compressed if its name ends in .gz.
func writeTrace(t *testing.T, dir, name, text string) {
	t.Helper()
	data := []byte(text)
	if strings.HasSuffix(name, ".gz") {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		data = b.Bytes()
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTraceFormatsAreDetectedByTheirColumns(t *testing.T) {
	dir := t.TempDir()
	writeTrace(t, dir, "a.csv.gz", durations)
	writeTrace(t, dir, "b.csv.gz", perMinute)
	writeTrace(t, dir, "c.csv", sizes)
	writeTrace(t, dir, "d.csv", perCall)
	writeTrace(t, dir, "e.csv", "other,columns\n1,2\n")
	writeTrace(t, dir, "README.md", "a description")
	got, err := traces(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []*trace{
		{
			name: "Azure Functions 2019", end: minute(4), coarse: true,
			functions: []function{{id: "f", trigger: "timer", memory: 129 << 19}, {id: "g", trigger: "http", duration: 1500 * time.Millisecond}},
			arrivals:  []arrival{{0, 0, 0, 1}, {1, minute(1), 0, 3}, {0, minute(3), 0, 2}},
		},
		{
			name: "Azure Functions 2021, d", end: 90500 * time.Millisecond,
			functions: []function{{id: "a/f"}, {id: "a/g"}, {id: "b/f"}},
			arrivals: []arrival{
				{1, time.Second, 9 * time.Second, 1},
				{0, time.Minute, 30500 * time.Millisecond, 1},
				{2, 60750 * time.Millisecond, 250 * time.Millisecond, 1},
			},
		},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(trace{}, function{}, arrival{})); diff != "" {
		t.Error(diff)
	}
	if coarse := got[1].byMinute(); coarse.end != minute(2) || len(coarse.arrivals) != 3 || coarse.arrivals[2] != (arrival{2, minute(1), 0, 1}) {
		t.Errorf("by the minute: %+v", coarse)
	}
}

func TestFolderWithoutTracesIsAnError(t *testing.T) {
	if _, err := traces(t.TempDir()); err == nil {
		t.Error("no error")
	}
	dir := t.TempDir()
	writeTrace(t, dir, "a.csv", "HashOwner,HashApp,HashFunction,Trigger,1\no,a,f,timer,many\n")
	if _, err := traces(dir); err == nil || !strings.Contains(err.Error(), "a.csv") {
		t.Errorf("a count that is no number: %v", err)
	}
}

func TestArrivalsAreDrawnWithinTheirMinute(t *testing.T) {
	coarse := &trace{functions: []function{{trigger: "timer"}, {trigger: "http", duration: time.Second}}, end: time.Hour, coarse: true}
	for m := range 60 {
		coarse.arrivals = append(coarse.arrivals, arrival{0, minute(m), 0, 1}, arrival{1, minute(m), 0, 3})
	}
	fine := coarse.bySecond(1)
	if diff := cmp.Diff(fine, coarse.bySecond(1), cmp.AllowUnexported(trace{}, function{}, arrival{})); diff != "" {
		t.Errorf("drawn again with the same seed:\n%s", diff)
	}
	if fine.requests() != coarse.requests() || fine.requests() != 240 {
		t.Errorf("%d requests of %d", fine.requests(), coarse.requests())
	}
	counts := map[arrival]int{}
	phases := map[time.Duration]bool{}
	for _, a := range fine.arrivals {
		counts[arrival{a.function, a.at.Truncate(time.Minute), a.duration, 1}]++
		if a.function == 0 {
			phases[a.at%time.Minute] = true
		}
	}
	if len(counts) != 120 || len(phases) != 1 {
		t.Errorf("%d minutes of functions, want 120; a timer at %d seconds of the minute, want 1", len(counts), len(phases))
	}
}

func TestPolicyThatDoesNotBeatTheBaselineIsAnError(t *testing.T) {
	result := func(learned outcome) *result {
		return &result{lines: []line{
			{&outcome{warm: minute(100), shares: []float64{80}}, fixedName(10)},
			{&outcome{warm: minute(900), shares: []float64{20}}, "no limit"},
			{&learned, "**learned**"},
		}}
	}
	for want, learned := range map[bool]outcome{
		true:  {warm: minute(99), shares: []float64{79}},
		false: {warm: minute(99), shares: []float64{80}},
	} {
		if err := result(learned).check(); (err == nil) != want {
			t.Errorf("%+v: %v", learned, err)
		}
	}
	if result(outcome{warm: minute(100), shares: []float64{10}}).check() == nil {
		t.Error("as many minutes as the baseline are fine")
	}
}

func TestTheReportContainsTheMeasurements(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString("HashOwner,HashApp,HashFunction,Trigger" + strings.Repeat(",m", 240) + "\n")
	for range 4 {
		b.WriteString("o,a,f,timer" + strings.Repeat(",1"+strings.Repeat(",0", 29), 8) + "\n")
	}
	writeTrace(t, dir, "counts.csv", b.String())
	out := filepath.Join(t.TempDir(), "page.md")
	if err := runCommand([]string{"-traces", dir, "-out", out}, io.Discard); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4 functions, 32 requests, 240 minutes", "| **learned** "} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if bytes.Contains(page, []byte(dir)) {
		t.Error("the page says where the traces are")
	}
	picture, err := os.ReadFile(strings.TrimSuffix(out, ".md") + ".svg")
	if err != nil || !bytes.HasPrefix(picture, []byte("<svg")) {
		t.Errorf("the picture: %v, %.20s", err, picture)
	}
	if err := runCommand(nil, io.Discard); err == nil {
		t.Error("without traces: no error")
	}
}
