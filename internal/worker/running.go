package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
)

var errRunning = lateen.ErrInternal.With("the invocation runs already")

// begin registers an invocation. It fails if the ID is in use, or with [ErrStopping].
func (s *Server) begin(id string, end context.CancelCauseFunc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.drained != nil:
		return ErrStopping
	case s.running[id] != nil:
		return errRunning
	}
	s.running[id] = end
	if i := slices.IndexFunc(s.early[:], func(r cancelRequest) bool { return r.ID == id }); i >= 0 {
		end(s.early[i].Fault.err())
	}
	return nil
}

func (s *Server) ended(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
	if s.drained != nil && len(s.running) == 0 {
		close(s.drained)
	}
}

// Drain waits for the end of ctx. Then it refuses new invocations, and returns when those
// that run have ended. At the time limit it ends the rest: the client keeps those that
// wait for an instance for the next process, and the others are lost. Run must not end
// before.
func (s *Server) Drain(ctx context.Context) error {
	<-ctx.Done()
	drained := s.refuse()
	limit := time.NewTimer(s.o.Drain)
	defer limit.Stop()
	select {
	case <-drained:
		return nil
	case <-limit.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Log.WarnContext(ctx, "invocations end at the time limit of the stop", "count", len(s.running))
	for _, end := range s.running {
		end(ErrStopping)
	}
	return nil
}

// refuse refuses invocations from now on. The channel is closed when none runs.
func (s *Server) refuse() (drained <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = make(chan struct{})
	close(s.refuses)
	if len(s.running) == 0 {
		close(s.drained)
	}
	return s.drained
}

// stopped returns the error of an invocation that ended with err: only an invocation
// that no instance got may run again.
func stopped(err error, inv *lateen.Invocation) error {
	if errors.Is(err, ErrStopping) && inv.Start != "" {
		return ErrLost.Because(err)
	}
	return err
}
