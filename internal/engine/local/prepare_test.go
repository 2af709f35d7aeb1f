package local

import (
	"errors"
	"testing"
	"time"
)

func TestAFunctionThatHangsIsGivenUp(t *testing.T) {
	s := newStage(t, nil)
	s.visitTime = 2 * time.Second
	spec := s.function("hangs", "nodejs24.x", "module.exports = (req, res) => { for (;;); };\n")
	if err := s.Prepare(t.Context(), spec); !errors.Is(err, errHangs) {
		t.Errorf("the error is %v, want that it does not answer the first time", err)
	}
	if err := s.mold(spec); !errors.Is(err, errHangs) {
		t.Errorf("as a template the error is %v", err)
	}
	s.consider(spec, "")
	s.known.with(spec.Key, func(a *acquaintance) {
		if a.busy || a.failed != 1 {
			t.Errorf("it is tried again at once: %+v", a)
		}
	})
}

func TestWhatIsBeingPreparedIsNoFailure(t *testing.T) {
	s := newStage(t, nil)
	spec := s.function("busy", "nodejs24.x", "throw new Error('it is run');\n")
	s.known.with(spec.Key, func(a *acquaintance) { a.busy = true })
	if err := s.Prepare(t.Context(), spec); err != nil {
		t.Errorf("the error is %v", err)
	}
	s.known.with(spec.Key, func(a *acquaintance) {
		if !a.busy || a.failed > 0 {
			t.Errorf("it is done with: %+v", a)
		}
	})
}

func TestWhatStreamsForEverIsPrepared(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Templates = -1 })
	s.visitTime = 2 * time.Second
	spec := s.function("streams", "nodejs24.x", "module.exports = (req, res) => { res.write('first'); setInterval(() => res.write('more'), 100); };\n")
	if err := s.Prepare(t.Context(), spec); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBePreparedIsTriedLessAndLessOften(t *testing.T) {
	var a acquaintance
	if !a.due(time.Now()) {
		t.Error("it is never tried")
	}
	for n, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, 64 * time.Minute, 64 * time.Minute} {
		a.tried(errHangs)
		if a.due(a.prepared.Add(want-time.Second)) || !a.due(a.prepared.Add(want)) {
			t.Errorf("after %d failures it is not due after %v", n+1, want)
		}
	}
	if a.tried(nil); !a.due(time.Now()) {
		t.Error("a success does not count")
	}
}
