package main

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

func TestTheStartHeaderIsReadAsTheEdgeWritesIt(t *testing.T) {
	for header, want := range map[string]startOf{
		"":                 {},
		"warm":             {kind: lateen.StartWarm},
		"blank;load=1.9ms": {kind: lateen.StartBlank, load: 1900 * time.Microsecond},
		"cold;queue=0.1ms;claim=93.0ms;load=1234.6ms;new=1ms": {
			kind: lateen.StartCold, queue: 100 * time.Microsecond, claim: 93 * time.Millisecond, load: 1234600 * time.Microsecond,
		},
	} {
		if got := parseStart(header); got != want {
			t.Errorf("%q is %+v, want %+v", header, got, want)
		}
	}
}

func TestAGoalIsMetByTheMedian(t *testing.T) {
	took := sample{4 * time.Millisecond, 5 * time.Millisecond, 90 * time.Millisecond}
	for _, c := range []struct {
		name string
		kind lateen.StartKind
		want string
	}{
		{smallReqRes, lateen.StartTemplate, "5 met"},
		{"Next.js, page", lateen.StartTemplate, "40 met"},
		{smallReqRes, lateen.StartCold, none},
		{"Hono, page", lateen.StartTemplate, none},
	} {
		if got := goalText(c.name, c.kind, took); got != c.want {
			t.Errorf("%s by %s: %q, want %q", c.name, c.kind, got, c.want)
		}
	}
	if got := goalText(smallReqRes, lateen.StartBlank, took[1:]); got != "5 met" {
		t.Errorf("the goal itself: %q", got)
	}
	if got := goalText(smallReqRes, lateen.StartBlank, took[2:]); got != "5 missed" {
		t.Errorf("past the goal: %q", got)
	}
}

func TestAMeasurementCountsFailedRequests(t *testing.T) {
	var c burst
	c.add([]outcome{{took: 9, start: startOf{kind: lateen.StartBlank}}, {took: 5, start: startOf{kind: lateen.StartWarm}}, {err: errNotIdle}})
	c.add([]outcome{{took: 700, start: startOf{kind: lateen.StartWarm}}})
	if c.failures != 1 || len(c.took) != 3 || c.worst != 700 || kindsText(c.kinds) != "2 warm, 1 blank" {
		t.Errorf("%+v: %s", c, kindsText(c.kinds))
	}
}

func TestPrewarmedStartsOfPlatformsAreApart(t *testing.T) {
	stage := func(name string, kinds map[lateen.StartKind]sample) *startStage {
		return &startStage{name: name, starters: []*starter{{took: kinds, phases: map[lateen.StartKind][]startOf{}}}}
	}
	got := gather([]*startStage{
		stage("template", map[lateen.StartKind]sample{lateen.StartPrewarmed: {1}, lateen.StartBlank: {2}}),
		stage("blank", map[lateen.StartKind]sample{lateen.StartPrewarmed: {3, 3}, lateen.StartBlank: {4}, lateen.StartWarm: {5}}),
	}, 0)
	want := []struct {
		start string
		goal  lateen.StartKind
		n     int
	}{{"prewarmed", lateen.StartTemplate, 1}, {"prewarmed, by blank", lateen.StartBlank, 2}, {"blank", lateen.StartBlank, 2}, {"warm, by blank", lateen.StartWarm, 1}}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, w := range want {
		if got[i].start != w.start || got[i].goal != w.goal || len(got[i].took) != w.n {
			t.Errorf("group %d is %+v, want %+v", i, got[i], w)
		}
	}
}
