package local

import (
	"net/http"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
)

// beginModule starts a module and returns the kind of the start.
func beginModule(t *testing.T, r *rig, spec lateen.FunctionSpec) (engine.Instance, lateen.StartKind) {
	t.Helper()
	i, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(i) })
	return i, i.Started().Kind
}

// moduleStandby waits for the standby of a module.
func moduleStandby(t *testing.T, r *rig, spec lateen.FunctionSpec) *process.Process {
	t.Helper()
	for deadline := time.After(waitLimit); ; {
		for _, m := range r.templates.List() {
			if w := r.templates.Standby(m); w != nil {
				return w
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatal("no standby has loaded the module")
		}
	}
}

// TestAModuleStartsInItsStandby starts a module repeatedly: each start
// after the first takes a process that has loaded it.
func TestAModuleStartsInItsStandby(t *testing.T) {
	r := newRig(t)
	spec := moduleOf(modulesTree(t, r))
	if _, kind := beginModule(t, r, spec); kind == lateen.StartTemplate {
		t.Fatal("a process has loaded the module before its first start")
	}
	used := map[*process.Process]bool{}
	for range 2 {
		standby := moduleStandby(t, r, spec)
		if u, err := standby.Sandboxed.Usage(); err != nil || u.Memory <= 0 {
			t.Errorf("memory of the standby: %d bytes, %v", u.Memory, err)
		}
		i, kind := beginModule(t, r, spec)
		if own := i.(*instance.Instance); kind != lateen.StartTemplate || own.Process != standby || used[standby] {
			t.Errorf("kind of start: %s, in the standby: %v", kind, own.Process == standby)
		}
		used[standby] = true
		whole(t, i, to(t, http.MethodPost, "/", nil))
		if line := r.awaitLine(t, i, "a line of it"); line.Request == "" || line.Instance != i.ID() {
			t.Errorf("log line: %+v", line)
		}
		if u := i.Usage(); u.Peak < 1<<20 || u.Memory <= 0 {
			t.Errorf("usage: %+v", u)
		}
	}
	killed := moduleStandby(t, r, spec)
	killed.Kill()
	<-killed.Exited
	if i, _ := beginModule(t, r, spec); i.(*instance.Instance).Process == killed {
		t.Error("a dead standby was started")
	}
}

// TestTheStandbyOfAModuleIsDropped changes the settings of a module, and forgets its
// deployment.
func TestTheStandbyOfAModuleIsDropped(t *testing.T) {
	r := newRig(t)
	spec := moduleOf(modulesTree(t, r))
	beginModule(t, r, spec)
	standby := moduleStandby(t, r, spec)
	spec.Env = map[string]string{"GREETING": "hello"}
	if _, kind := beginModule(t, r, spec); kind == lateen.StartTemplate {
		t.Error("a standby with former settings was started")
	}
	<-standby.Exited
	standby = moduleStandby(t, r, spec)
	r.Forget(spec.Deployment)
	<-standby.Exited
	if n := len(r.templates.List()); n > 0 {
		t.Errorf("%d functions have a standby", n)
	}
}
