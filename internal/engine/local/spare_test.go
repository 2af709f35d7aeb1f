package local

import (
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/pool"
)

func TestRoomIsForTemplatesFirstAndThenForSpares(t *testing.T) {
	two := []holding{{10, 3}, {10, 3}}
	for _, c := range []struct {
		limit             int64
		templates, spares int
	}{{9, 0, 0}, {10, 1, 0}, {19, 1, 0}, {20, 2, 0}, {22, 2, 0}, {23, 2, 1}, {25, 2, 1}, {26, 2, 2}, {100, 2, 2}} {
		templates, spares := room(c.limit, two)
		if templates != c.templates || spares != c.spares {
			t.Errorf("%d bytes are room for %d templates and %d spares, want %d and %d", c.limit, templates, spares, c.templates, c.spares)
		}
	}
	if templates, spares := room(0, nil); templates != 0 || spares != 0 {
		t.Errorf("of none there are %d and %d", templates, spares)
	}
}

func TestSpareWaitsForQuietButNotForEver(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		lack  lack
		quiet time.Duration
		want  time.Duration
	}{
		"it is quiet":          {lack{since: now}, 0, 0},
		"it has been":          {lack{since: now}, -time.Second, -time.Second},
		"soon":                 {lack{since: now}, 40 * time.Millisecond, 40 * time.Millisecond},
		"it never gets quiet":  {lack{since: now.Add(-pool.Patience)}, 40 * time.Millisecond, 0},
		"after a failure":      {lack{since: now.Add(-time.Hour), retry: now.Add(time.Second)}, 0, time.Second},
		"quiet and impatience": {lack{since: now.Add(-pool.Patience / 2)}, time.Hour, pool.Patience / 2},
	} {
		if got := c.lack.wait(now, c.quiet); got != c.want {
			t.Errorf("%s: it waits %v, want %v", name, got, c.want)
		}
	}
}

// spared waits until the template of a function has a spare, and returns it.
func (s *stage) spared(spec lateen.FunctionSpec) *worker {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		if w := s.spareOf(spec); w != nil {
			return w
		}
	}
	s.t.Fatal("its template has no spare")
	return nil
}

func (s *stage) spareOf(spec lateen.FunctionSpec) *worker {
	s.templates.mu.Lock()
	defer s.templates.mu.Unlock()
	return s.templateOfLocked(spec).spare
}

// forgive has a template's next spare not wait for what became of the last.
func (s *stage) forgive(spec lateen.FunctionSpec) {
	s.templates.mu.Lock()
	defer s.templates.mu.Unlock()
	s.templateOfLocked(spec).lack.retry = time.Time{}
}

func (s *stage) molded(name, text string) lateen.FunctionSpec {
	s.t.Helper()
	needForks(s.t)
	spec := s.function(name, "nodejs24.x", text)
	if err := s.mold(spec); err != nil {
		s.t.Fatal(err)
	}
	return spec
}

func TestSpareIsTakenAndReplaced(t *testing.T) {
	s := newStage(t, nil)
	spec := s.molded("spare", probe)
	for range 3 {
		spare := s.spared(spec)
		s.mu.Lock()
		for i := range s.instances {
			if i.worker == spare {
				t.Error("it is an instance before anybody asked")
			}
		}
		s.mu.Unlock()
		i := s.start(spec, lateen.StartTemplate)
		if i.worker != spare {
			t.Error("it is not the spare")
		}
		if got := consult(t, i, "/all"); len(got.Failed) > 0 || got.Env != "spare" {
			t.Errorf("%s fails at %q", got.Env, got.Failed)
		}
		if u := i.Usage(); u.CPU <= 0 || u.Memory <= 0 {
			t.Errorf("it has used %+v", u)
		}
		if i.booted <= 0 {
			t.Error("what it used before counts")
		}
		end(i)
	}
}

func TestBurstForksBeyondTheSpare(t *testing.T) {
	s := newStage(t, nil)
	spec := s.molded("burst", probe)
	spare := s.spared(spec)
	seen := map[*worker]bool{}
	for range 5 {
		i := s.start(spec, lateen.StartTemplate)
		consult(t, i, "/")
		seen[i.worker] = true
	}
	if len(seen) != 5 || !seen[spare] {
		t.Errorf("%d processes are instances, the spare among them: %t", len(seen), seen[spare])
	}
}

func TestNothingOfTheFunctionRunsInASpare(t *testing.T) {
	s := newStage(t, nil)
	spec := s.molded("timers", "let ticks = 0; const at = process.pid; let early = 0, asked = false;\n"+
		"setInterval(() => { ticks++; if (!asked && process.pid !== at) early++; }, 1).unref();\n"+
		"module.exports = (req, res) => { asked = true; res.end(JSON.stringify({ env: 'early ' + early, loop: process.uptime() })); };\n")
	spare := s.spared(spec)
	before := spare.process.CPU()
	<-time.After(300 * time.Millisecond)
	if used := spare.process.CPU() - before; used > 2*time.Millisecond {
		t.Errorf("it has run for %v", used)
	}
	began := time.Now()
	got := consult(t, s.start(spec, lateen.StartTemplate), "/")
	since := time.Since(began).Seconds()
	if got.Env != "early 0" && got.Env != "early 1" { // one is due when it goes on
		t.Error(got.Env)
	}
	if got.Loop > since {
		t.Errorf("after %v s it says that it is up for %v s", since, got.Loop)
	}
}

func TestDeadSpareFailsNoStart(t *testing.T) {
	s := newStage(t, nil)
	spec := s.molded("dead", probe)
	t.Run("long ago", func(t *testing.T) {
		spare := s.spared(spec)
		spare.Kill()
		<-spare.exited
		consult(t, s.start(spec, lateen.StartTemplate), "/")
	})
	t.Run("at this very moment", func(t *testing.T) {
		s.forgive(spec)
		spare := s.spared(spec)
		spare.Kill()
		consult(t, s.start(spec, lateen.StartTemplate), "/")
	})
	t.Run("when it is to go on", func(t *testing.T) {
		s.forgive(spec)
		spare := s.spared(spec)
		if err := spare.process.Freeze(); err != nil {
			t.Skip("this host cannot freeze a process")
		}
		time.AfterFunc(100*time.Millisecond, spare.Kill)
		if i := s.start(spec, lateen.StartTemplate); i.worker == spare {
			t.Error("it is the dead one")
		}
	})
	if s.templateOf(spec) == nil {
		t.Error("it has no template any more")
	}
}

// templateOfLocked is the template of a function that certainly has one.
func (s *stage) templateOfLocked(spec lateen.FunctionSpec) *template {
	for _, t := range s.templates.all {
		if t.spec.Key == spec.Key {
			return t
		}
	}
	s.t.Fatal("there is no template")
	return nil
}

func TestDeadSpareIsReplaced(t *testing.T) {
	s := newStage(t, nil)
	spec := s.molded("replaced", probe)
	dead := s.spared(spec)
	dead.Kill()
	<-dead.exited
	for deadline := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		if s.spared(spec) != dead {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not")
		}
	}
}

func TestSpareEndsWithItsTemplate(t *testing.T) {
	s := newStage(t, nil)
	for name, drop := range map[string]func(lateen.FunctionSpec){
		"forgotten": func(spec lateen.FunctionSpec) { s.Forget(spec.Deployment) },
		"given up":  func(spec lateen.FunctionSpec) { s.dropTemplate(s.templateOf(spec)) },
		"killed":    func(spec lateen.FunctionSpec) { s.templateOf(spec).Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			spec := s.molded(name[:4], probe)
			spare, template := s.spared(spec), s.templateOf(spec)
			drop(spec)
			for what, exited := range map[string]<-chan struct{}{"spare": spare.exited, "template": template.exited} {
				select {
				case <-exited:
				case <-time.After(patience):
					t.Errorf("the %s stays", what)
				}
			}
			consult(t, s.start(spec, ""), "/")
		})
	}
}

func TestClaimedSpareOutlivesItsTemplateAlone(t *testing.T) {
	s := newStage(t, nil)
	spec := s.molded("claimed", probe)
	s.spared(spec)
	template := s.templateOf(spec)
	i := s.start(spec, lateen.StartTemplate)
	s.dropTemplate(template)
	consult(t, i, "/all")
	end(i)
	select {
	case <-template.exited:
	case <-time.After(patience):
		t.Error("the template stays when its last child has ended")
	}
}

func TestSparesHaveWhatTemplatesLeave(t *testing.T) {
	s := newStage(t, nil)
	spec := s.molded("budget", probe)
	spare := s.spared(spec)
	template := s.templateOf(spec)
	s.templates.mu.Lock()
	if template.holds.spare <= 0 || template.holds.spare == firstSpare {
		t.Errorf("a spare holds %d bytes", template.holds.spare)
	}
	s.templates.limit = template.holds.template
	s.templates.trimLocked()
	kept := len(s.templates.all)
	s.templates.mu.Unlock()
	if kept != 1 {
		t.Errorf("%d templates are kept", kept)
	}
	select {
	case <-spare.exited:
	case <-time.After(patience):
		t.Error("the spare stays")
	}
	if i := s.start(spec, lateen.StartTemplate); i.worker == spare {
		t.Error("a dead spare was taken")
	}
}

func TestSparesNeverRepeatEachOther(t *testing.T) {
	s := newStage(t, nil)
	spec := s.molded("sparerandom", probe)
	seen := map[string]int{}
	for n := range 50 {
		spare := s.spared(spec)
		i := s.start(spec, lateen.StartTemplate)
		if i.worker != spare {
			t.Fatal("it is not the spare")
		}
		for _, value := range consult(t, i, "/").Random {
			if before, again := seen[value]; again {
				t.Errorf("spares %d and %d both drew %s", before, n, value)
			}
			seen[value] = n
		}
		end(i)
	}
}

func TestTemplateWhoseChildrenDoNotAnswerIsNone(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("mutechild", "nodejs24.x", "const at = process.pid;\n"+
		"module.exports = (req, res) => { if (process.pid !== at) process.kill(process.pid, 'SIGKILL'); res.end('{}'); };\n")
	if err := s.mold(spec); err == nil || !strings.Contains(err.Error(), "children do not answer") {
		t.Errorf("the error is %v", err)
	}
}
