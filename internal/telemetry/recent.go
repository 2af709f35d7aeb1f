package telemetry

import (
	"bytes"
	"io"
	"sync"
)

// recentBytes limits the lines of the daemon's log that are kept in memory.
const recentBytes = 1 << 20

// recent passes a log on and keeps its last lines. Each call of Write is one line.
type recent struct {
	next io.Writer

	mu    sync.Mutex // guards below
	lines [][]byte
	size  int
}

// Write implements [io.Writer].
func (r *recent) Write(line []byte) (int, error) {
	r.keep(bytes.Clone(line))
	return r.next.Write(line)
}

func (r *recent) keep(line []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines, r.size = append(r.lines, line), r.size+len(line)
	for r.size > recentBytes {
		r.size -= len(r.lines[0])
		r.lines = r.lines[1:]
	}
}

func (r *recent) text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Join(r.lines, nil)
}

// RecentLog returns the last lines of the daemon's log, 1 MiB at most.
func (t *Telemetry) RecentLog() []byte { return t.recent.text() }
