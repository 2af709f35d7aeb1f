package local

import (
	"net/http"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
)

// beginModule starts a module, and says how it was started.
func beginModule(t *testing.T, r *rig, spec lateen.FunctionSpec) (engine.Instance, lateen.StartKind) {
	t.Helper()
	i, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(i) })
	return i, i.Started().Kind
}

// loadedSpare waits for the process that has loaded a module and waits.
func loadedSpare(t *testing.T, r *rig, spec lateen.FunctionSpec) *worker {
	t.Helper()
	for deadline := time.After(patience); ; {
		r.templates.mu.Lock()
		m := r.templates.loadedLocked(spec)
		if m != nil {
			m.lack.retry = time.Time{}
			if m.spare != nil {
				defer r.templates.mu.Unlock()
				return m.spare
			}
		}
		r.templates.mu.Unlock()
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatal("no process has loaded the module")
		}
	}
}

// TestAModuleStartsInAProcessThatHasLoadedIt starts a module again and again: each
// start but the first takes a process that has loaded it.
func TestAModuleStartsInAProcessThatHasLoadedIt(t *testing.T) {
	r := newRig(t)
	spec := moduleOf(modulesTree(t, r))
	if _, kind := beginModule(t, r, spec); kind == lateen.StartTemplate {
		t.Fatal("a process has loaded the module before its first start")
	}
	used := map[*worker]bool{}
	for range 2 {
		spare := loadedSpare(t, r, spec)
		if u, err := spare.process.Usage(); err != nil || u.Memory <= 0 {
			t.Errorf("the process holds %d bytes: %v", u.Memory, err)
		}
		i, kind := beginModule(t, r, spec)
		if own := i.(*instance); kind != lateen.StartTemplate || own.worker != spare || used[spare] {
			t.Errorf("the start is %s, in the process that has loaded the module: %v", kind, own.worker == spare)
		}
		used[spare] = true
		whole(t, i, to(t, http.MethodPost, "/", nil))
		if line := r.awaitLine(t, i, "a line of it"); line.Request == "" || line.Instance != i.ID() {
			t.Errorf("its line is %+v", line)
		}
		if u := i.Usage(); u.Peak < 1<<20 || u.Memory <= 0 {
			t.Errorf("its usage is %+v", u)
		}
	}
	killed := loadedSpare(t, r, spec)
	killed.Kill()
	<-killed.exited
	if i, _ := beginModule(t, r, spec); i.(*instance).worker == killed {
		t.Error("a process that has ended is started")
	}
}

// TestALoadedModuleIsGivenUp changes a module's settings, and forgets its
// deployment.
func TestALoadedModuleIsGivenUp(t *testing.T) {
	r := newRig(t)
	spec := moduleOf(modulesTree(t, r))
	beginModule(t, r, spec)
	spare := loadedSpare(t, r, spec)
	spec.Env = map[string]string{"GREETING": "hello"}
	if _, kind := beginModule(t, r, spec); kind == lateen.StartTemplate {
		t.Error("a process with former settings is started")
	}
	<-spare.exited
	spare = loadedSpare(t, r, spec)
	r.Forget(spec.Deployment)
	<-spare.exited
	r.templates.mu.Lock()
	defer r.templates.mu.Unlock()
	if len(r.templates.all) > 0 {
		t.Errorf("%d functions have a process ahead", len(r.templates.all))
	}
}
