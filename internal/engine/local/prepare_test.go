package local

import (
	"errors"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/learn"
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
	r, _, err := s.runtimeFor(&spec.Function)
	if err != nil {
		t.Fatal(err)
	}
	s.learner.Queue(r, spec, "")
	s.learner.With(spec.Key, func(a *learn.Profile) {
		if a.Preparing || a.Failures != 1 {
			t.Errorf("prepared again without backoff: %+v", a)
		}
	})
}

func TestARunningPreparationIsNoFailure(t *testing.T) {
	s := newStage(t, nil)
	spec := s.function("busy", "nodejs24.x", "throw new Error('it is run');\n")
	s.learner.With(spec.Key, func(a *learn.Profile) { a.Preparing = true })
	if err := s.Prepare(t.Context(), spec); err != nil {
		t.Errorf("error: %v", err)
	}
	s.learner.With(spec.Key, func(a *learn.Profile) {
		if !a.Preparing || a.Failures > 0 {
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
