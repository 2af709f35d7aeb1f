package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// part is a component that runs as long as the daemon.
type part struct {
	name string
	run  func(ctx context.Context) error // blocks until its context ends
}

// running is a part that was started.
type running struct {
	part

	stop  context.CancelFunc
	ended chan error // result of run, sent once
}

// runAll starts parts in order and stops them in reverse order, when ctx ends or a
// part fails: each part has returned before its predecessor is stopped. It returns
// the failures, the first one first, or nil. It abandons a part that does not return
// within grace.
func runAll(ctx context.Context, grace time.Duration, parts []part) error {
	failed := make(chan error, len(parts))
	started := make([]running, 0, len(parts))
	for _, p := range parts {
		started = append(started, start(ctx, p, failed))
	}
	var first error
	select {
	case <-ctx.Done():
	case first = <-failed:
	}
	errs := []error{first}
	for i := len(started) - 1; i >= 0; i-- {
		if err := started[i].finish(grace); err != nil && !errors.Is(first, err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// start runs p in a goroutine. It sends an error to failed if p fails or returns
// before its context ends.
func start(ctx context.Context, p part, failed chan<- error) running {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := running{part: p, stop: cancel, ended: make(chan error, 1)}
	go func() {
		err := p.run(own)
		switch {
		case err != nil:
			err = fmt.Errorf("%s: %w", p.name, err)
		case own.Err() == nil:
			err = fmt.Errorf("%s: ended unexpectedly", p.name)
		}
		if err != nil {
			failed <- err
		}
		r.ended <- err
	}()
	return r
}

// finish stops the part and waits at most grace for its return.
func (r running) finish(grace time.Duration) error {
	r.stop()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-r.ended:
		return err
	case <-timer.C:
		return fmt.Errorf("%s: still running after %s", r.name, grace)
	}
}
