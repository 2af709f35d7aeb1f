package local

import (
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
)

// awaitStandby waits until the template of a function has a standby, and returns it.
func (s *stage) awaitStandby(spec lateen.FunctionSpec) *process.Process {
	s.t.Helper()
	for deadline := time.Now().Add(waitLimit); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		if w := s.standbyOf(spec); w != nil {
			return w
		}
	}
	s.t.Fatal("the template has no standby")
	return nil
}

func (s *stage) standbyOf(spec lateen.FunctionSpec) *process.Process {
	t := s.templates.Of(spec)
	if t == nil {
		s.t.Fatal("no template")
	}
	return s.templates.Standby(t)
}

func (s *stage) functionWithTemplate(name, text string) lateen.FunctionSpec {
	s.t.Helper()
	needForks(s.t)
	spec := s.function(name, "nodejs24.x", text)
	if err := s.addTemplate(spec); err != nil {
		s.t.Fatal(err)
	}
	return spec
}

func TestAStandbyIsTakenAndReplaced(t *testing.T) {
	s := newStage(t, nil)
	spec := s.functionWithTemplate("spare", probe)
	for range 3 {
		standby := s.awaitStandby(spec)
		for _, i := range s.instances.List() {
			if i.Process == standby {
				t.Error("the standby is an instance before a start")
			}
		}
		i := s.start(spec, lateen.StartTemplate)
		if i.Process != standby {
			t.Error("the process is not the standby")
		}
		if got := askProbe(t, i, "/all"); len(got.Failed) > 0 || got.Env != "spare" {
			t.Errorf("%s: failed checks %q", got.Env, got.Failed)
		}
		if u := i.Usage(); u.CPU <= 0 || u.Memory <= 0 {
			t.Errorf("usage: %+v", u)
		}
		if total := i.Sandboxed.CPU(); i.Usage().CPU >= total {
			t.Error("the usage includes the time before the start")
		}
		end(i)
	}
}

func TestABurstForksBeyondTheStandby(t *testing.T) {
	s := newStage(t, nil)
	spec := s.functionWithTemplate("burst", probe)
	standby := s.awaitStandby(spec)
	seen := map[*process.Process]bool{}
	for range 5 {
		i := s.start(spec, lateen.StartTemplate)
		askProbe(t, i, "/")
		seen[i.Process] = true
	}
	if len(seen) != 5 || !seen[standby] {
		t.Errorf("%d processes are instances, including the standby: %t", len(seen), seen[standby])
	}
}

func TestAStandbyRunsNoUserCode(t *testing.T) {
	s := newStage(t, nil)
	spec := s.functionWithTemplate("timers", "let ticks = 0; const at = process.pid; let early = 0, asked = false;\n"+
		"setInterval(() => { ticks++; if (!asked && process.pid !== at) early++; }, 1).unref();\n"+
		"module.exports = (req, res) => { asked = true; res.end(JSON.stringify({ env: 'early ' + early, loop: process.uptime() })); };\n")
	standby := s.awaitStandby(spec)
	before := standby.Sandboxed.CPU()
	<-time.After(300 * time.Millisecond)
	if used := standby.Sandboxed.CPU() - before; used > 2*time.Millisecond {
		t.Errorf("CPU time: %v", used)
	}
	began := time.Now()
	got := askProbe(t, s.start(spec, lateen.StartTemplate), "/")
	since := time.Since(began).Seconds()
	if got.Env != "early 0" && got.Env != "early 1" { // one value is due when the process continues
		t.Error(got.Env)
	}
	if got.Loop > since {
		t.Errorf("uptime after %v s: %v s", since, got.Loop)
	}
}

func TestADeadStandbyFailsNoStart(t *testing.T) {
	s := newStage(t, nil)
	spec := s.functionWithTemplate("dead", probe)
	t.Run("before the start", func(t *testing.T) {
		standby := s.awaitStandby(spec)
		standby.Kill()
		<-standby.Exited
		askProbe(t, s.start(spec, lateen.StartTemplate), "/")
	})
	t.Run("at the start", func(t *testing.T) {
		standby := s.awaitStandby(spec)
		standby.Kill()
		askProbe(t, s.start(spec, lateen.StartTemplate), "/")
	})
	t.Run("on resume", func(t *testing.T) {
		standby := s.awaitStandby(spec)
		if err := standby.Sandboxed.Freeze(); err != nil {
			t.Skip("this host cannot freeze a process")
		}
		time.AfterFunc(100*time.Millisecond, standby.Kill)
		if i := s.start(spec, lateen.StartTemplate); i.Process == standby {
			t.Error("the start used the dead standby")
		}
	})
	if s.templates.Of(spec) == nil {
		t.Error("the template was dropped")
	}
}

func TestADeadStandbyIsReplaced(t *testing.T) {
	s := newStage(t, nil)
	spec := s.functionWithTemplate("replaced", probe)
	dead := s.awaitStandby(spec)
	dead.Kill()
	<-dead.Exited
	for deadline := time.Now().Add(waitLimit); ; <-time.After(10 * time.Millisecond) {
		if s.awaitStandby(spec) != dead {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the standby was not replaced")
		}
	}
}

func TestAStandbyEndsWithItsTemplate(t *testing.T) {
	s := newStage(t, nil)
	for name, drop := range map[string]func(lateen.FunctionSpec){
		"forgotten": func(spec lateen.FunctionSpec) { s.Forget(spec.Deployment) },
		"given up":  func(spec lateen.FunctionSpec) { s.templates.Drop(s.templates.Of(spec)) },
		"killed":    func(spec lateen.FunctionSpec) { s.templates.Of(spec).Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			spec := s.functionWithTemplate(name[:4], probe)
			standby, template := s.awaitStandby(spec), s.templates.Of(spec)
			drop(spec)
			for what, exited := range map[string]<-chan struct{}{"spare": standby.Exited, "template": template.Exited} {
				select {
				case <-exited:
				case <-time.After(waitLimit):
					t.Errorf("the %s is still running", what)
				}
			}
			askProbe(t, s.start(spec, ""), "/")
		})
	}
}

func TestAClaimedStandbySurvivesItsTemplate(t *testing.T) {
	s := newStage(t, nil)
	spec := s.functionWithTemplate("claimed", probe)
	s.awaitStandby(spec)
	template := s.templates.Of(spec)
	i := s.start(spec, lateen.StartTemplate)
	s.templates.Drop(template)
	askProbe(t, i, "/all")
	end(i)
	select {
	case <-template.Exited:
	case <-time.After(waitLimit):
		t.Error("the template is still running after its last forked process")
	}
}

func TestStandbysGetTheMemoryThatTemplatesLeave(t *testing.T) {
	s := newStage(t, nil)
	spec := s.functionWithTemplate("budget", probe)
	standby := s.awaitStandby(spec)
	template := s.templates.Of(spec)
	own, rest := s.templates.Memory(template)
	if rest <= 0 || rest == 8<<20 {
		t.Errorf("memory of a standby: %d bytes, which are not measured", rest)
	}
	s.templates.SetLimit(own)
	if s.templates.Of(spec) != template || len(s.templates.List()) != 1 {
		t.Error("the template was dropped")
	}
	select {
	case <-standby.Exited:
	case <-time.After(waitLimit):
		t.Error("the standby is still running")
	}
	if i := s.start(spec, lateen.StartTemplate); i.Process == standby {
		t.Error("a dead standby was taken")
	}
}

func TestStandbysNeverRepeatEachOther(t *testing.T) {
	s := newStage(t, nil)
	spec := s.functionWithTemplate("sparerandom", probe)
	seen := map[string]int{}
	for n := range 50 {
		standby := s.awaitStandby(spec)
		i := s.start(spec, lateen.StartTemplate)
		if i.Process != standby {
			t.Fatal("the process is not the standby")
		}
		for _, value := range askProbe(t, i, "/").Random {
			if before, again := seen[value]; again {
				t.Errorf("standbys %d and %d both drew %s", before, n, value)
			}
			seen[value] = n
		}
		end(i)
	}
}

func TestATemplateWhoseForksDoNotAnswerIsRefused(t *testing.T) {
	needForks(t)
	s := newStage(t, nil)
	spec := s.function("mutechild", "nodejs24.x", "const at = process.pid;\n"+
		"module.exports = (req, res) => { if (process.pid !== at) process.kill(process.pid, 'SIGKILL'); res.end('{}'); };\n")
	if err := s.addTemplate(spec); err == nil || !strings.Contains(err.Error(), "forked processes do not answer") {
		t.Errorf("error: %v", err)
	}
}
