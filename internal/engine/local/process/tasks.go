package process

import "sync"

// tasks are the goroutines that the end of an engine waits for.
type tasks struct {
	work sync.WaitGroup

	mu    sync.Mutex // guards ended
	ended bool       // no goroutine may begin any more
}

// Go runs f on a goroutine that wait waits for; false after end.
func (t *tasks) Go(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.work.Go(f)
	}
	return !t.ended
}

// EndTasks makes run refuse further goroutines.
func (t *tasks) EndTasks() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// Ending reports whether end was called.
func (t *tasks) Ending() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

// WaitTasks returns when all goroutines have ended.
func (t *tasks) WaitTasks() { t.work.Wait() }
