package local

import (
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// usageLog collects the usage of processes on standby.
type usageLog struct {
	mu  sync.Mutex
	all []lateen.UsageSample
}

func (l *usageLog) AddUsage(s lateen.UsageSample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

// of returns the usage of a function of a project, and the number of its samples.
func (l *usageLog) of(p lateen.ProjectID, function string) (sum lateen.Usage, samples int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.all {
		if s.Project == p && s.Function == function {
			sum.Add(s.Usage)
			samples++
		}
	}
	return sum, samples
}

// A process that is booted for a start has used CPU time before it got the function.
// This is the usage of the platform, the rest that of the instance: each is counted
// once.
func TestTheCPUTimeOfABootCountsToThePlatform(t *testing.T) {
	got := &usageLog{}
	s := newStage(t, func(o *Options) { o.Pool, o.NoZygotes, o.Usage = -1, true, got })
	i := s.start(s.function("a", "nodejs22.x", probe), lateen.StartCold)
	low := i.Sandboxed.CPU()
	used := i.Usage().CPU
	high := i.Sandboxed.CPU()
	blank, samples := got.of("", "blank")
	if cpu := blank.Standby.CPU; samples != 1 || cpu <= 0 || cpu < low-used || cpu > high-used {
		t.Errorf("%d samples have %v of CPU time, want one with %v to %v", samples, cpu, low-used, high-used)
	}
	if blank.Standby.Time != 0 {
		t.Errorf("the start counts for %v to the platform as well", blank.Standby.Time)
	}
	i.KillAndWait()
	if _, again := got.of("", "blank"); again != samples {
		t.Error("the end of an instance is usage of the platform")
	}
}

// A template and its standby count to their function, blank processes to the platform.
// The samples during their life and at their end add up to no more than their life.
func TestTemplatesCountToTheirFunction(t *testing.T) {
	needForks(t)
	got := &usageLog{}
	began := time.Now()
	var usual lateen.Usage
	t.Run("engine", func(t *testing.T) {
		s := newStage(t, func(o *Options) { o.Usage = got })
		spec := s.function("a", "nodejs22.x", probe)
		spec.Team = "team_1"
		if err := s.addTemplate(spec); err != nil {
			t.Fatal(err)
		}
		s.awaitStandby(spec)
		s.host.SampleStandbys()
		usual, _ = got.of("prj_1", "index")
		s.start(spec, lateen.StartTemplate)
	})
	life := time.Since(began)
	sum, _ := got.of("prj_1", "index")
	if sum.Total() != sum.Standby || usual.Standby.CPU <= 0 || usual.Standby.Memory <= 0 {
		t.Errorf("the usage of the function is %+v, and before %+v", sum, usual)
	}
	// The template, the standby before the start and the next one, and the training run
	// that records the footprint.
	if at := sum.Standby.Time; at <= usual.Standby.Time || at > 4*life {
		t.Errorf("%v are counted within %v, and %v before the start", at, life, usual.Standby.Time)
	}
	if blank, _ := got.of("", "blank"); blank.Total() != blank.Standby || blank.Standby.Memory <= 0 || blank.Standby.CPU <= 0 {
		t.Errorf("the usage of blank processes is %+v", blank)
	}
	for _, s := range got.all {
		if s.Project == "prj_1" && (s.Team != "team_1" || s.Deployment != "dpl_a") || s.Project == "" && (s.Team != "" || s.Deployment != "") {
			t.Errorf("a sample belongs to %q, %q, %q", s.Team, s.Project, s.Deployment)
		}
		if s.To < s.From || s.Standby.Time < 0 || s.Standby.Memory < 0 || s.Standby.CPU < 0 {
			t.Errorf("a sample is negative: %+v", s)
		}
	}
}
