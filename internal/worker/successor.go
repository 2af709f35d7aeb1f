package worker

import (
	"context"
	"sync"
	"time"
)

// maxWaiting is the number of requests that wait for the next process of the worker.
// Further ones fail.
const maxWaiting = 4096

// successor is the next process of a worker that stops.
type successor struct {
	patience time.Duration // time from the last word of the stopping process in which requests wait

	mu      sync.Mutex    // guards the fields below
	process string        // the last known one; "" before
	foreign string        // the last one with another protocol
	met     chan struct{} // closed when the next process is met
	until   time.Time     // end of the wait; zero if no process stops
	waiting int
}

// announced returns a channel that is closed when the next process is met.
func (s *successor) announced() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.met
}

// expect notes that a process stops, unless next is met.
func (s *successor) expect(next <-chan struct{}, process string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next == s.met {
		s.process, s.until = process, time.Now().Add(s.patience)
	}
}

// incompatible notes that a process with another protocol answers, unless next is met.
// Requests wait for the next process, from the first answer. It returns whether this is
// the first one.
func (s *successor) incompatible(next <-chan struct{}, process string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next != s.met || s.foreign == process {
		return false
	}
	s.foreign, s.process, s.until = process, process, time.Now().Add(s.patience)
	return true
}

// expected reports whether a process stops and the next one is not met.
func (s *successor) expected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.until)
}

// meet ends the waits for a process.
func (s *successor) meet(process string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != "" && s.process != process {
		close(s.met)
		s.met, s.until = make(chan struct{}), time.Time{}
	}
	s.process, s.foreign = process, ""
}

// await waits for next after a request that no function got. It returns false if the
// request has failed for good: the worker did not announce its stop and has this
// protocol, or its next process is overdue.
func (s *successor) await(ctx context.Context, next <-chan struct{}) bool {
	if !s.enter() {
		return isClosed(next)
	}
	defer s.leave()
	for left := s.left(); left > 0; left = s.left() {
		timer := time.NewTimer(left)
		select {
		case <-next:
			timer.Stop()
			return true
		case <-ctx.Done():
			timer.Stop()
			return true // the next attempt returns its cause
		case <-timer.C:
		}
	}
	return isClosed(next)
}

func (s *successor) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == maxWaiting || !time.Now().Before(s.until) {
		return false
	}
	s.waiting++
	return true
}

func (s *successor) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

func (s *successor) left() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Until(s.until)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
