package local

import (
	"errors"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/instance"
)

func TestAHangingFunctionIsNotPrepared(t *testing.T) {
	s := newStage(t, nil)
	s.instances.SampleTime = 2 * time.Second
	spec := s.function("hangs", "nodejs24.x", "module.exports = (req, res) => { for (;;); };\n")
	if err := s.Prepare(t.Context(), spec); !errors.Is(err, instance.ErrHangs) {
		t.Errorf("error: %v, want errHangs after the first request", err)
	}
	if err := s.addTemplate(spec); !errors.Is(err, instance.ErrHangs) {
		t.Errorf("error of the template: %v", err)
	}
	s.queuePreparation(spec, "")
	s.profiles.with(spec.Key, func(a *functionProfile) {
		if a.preparing || a.failures != 1 {
			t.Errorf("prepared again without backoff: %+v", a)
		}
	})
}

func TestARunningPreparationIsNoFailure(t *testing.T) {
	s := newStage(t, nil)
	spec := s.function("busy", "nodejs24.x", "throw new Error('it is run');\n")
	s.profiles.with(spec.Key, func(a *functionProfile) { a.preparing = true })
	if err := s.Prepare(t.Context(), spec); err != nil {
		t.Errorf("error: %v", err)
	}
	s.profiles.with(spec.Key, func(a *functionProfile) {
		if !a.preparing || a.failures > 0 {
			t.Errorf("the running preparation was recorded as ended: %+v", a)
		}
	})
}

func TestAnEndlessStreamDoesNotPreventPreparation(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Templates = -1 })
	s.instances.SampleTime = 2 * time.Second
	spec := s.function("streams", "nodejs24.x", "module.exports = (req, res) => { res.write('first'); setInterval(() => res.write('more'), 100); };\n")
	if err := s.Prepare(t.Context(), spec); err != nil {
		t.Error(err)
	}
}

func TestFailedPreparationsBackOff(t *testing.T) {
	var a functionProfile
	if !a.due(time.Now()) {
		t.Error("not due before any preparation")
	}
	for n, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, 64 * time.Minute, 64 * time.Minute} {
		a.record(instance.ErrHangs)
		if a.due(a.lastTried.Add(want-time.Second)) || !a.due(a.lastTried.Add(want)) {
			t.Errorf("after %d failures: not due after %v", n+1, want)
		}
	}
	if a.record(nil); !a.due(time.Now()) {
		t.Error("a success did not reset the failures")
	}
}
