package enginetest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// Logs is a sink that stores all lines. The zero value is ready.
type Logs struct {
	mu      sync.Mutex // guards the fields below
	lines   []lateen.LogLine
	changed chan struct{} // closed with the next line; nil if nothing waits
}

// Log stores a line.
func (l *Logs) Log(line lateen.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Lines returns all lines so far.
func (l *Logs) Lines() []lateen.LogLine {
	lines, _ := l.of(func(lateen.LogLine) bool { return true })
	return lines
}

// of returns the lines so far that match which, and a channel that announces the
// next line.
func (l *Logs) of(which func(lateen.LogLine) bool) ([]lateen.LogLine, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []lateen.LogLine
	for _, line := range l.lines {
		if which(line) {
			found = append(found, line)
		}
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return found, l.changed
}

// await waits for a line of an instance that contains text, and returns it.
func (l *Logs) await(t *testing.T, instance lateen.InstanceID, text string) lateen.LogLine {
	t.Helper()
	timeout := time.After(waitLimit)
	for {
		found, changed := l.of(func(line lateen.LogLine) bool {
			return line.Instance == instance && strings.Contains(line.Text, text)
		})
		if len(found) > 0 {
			return found[0]
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("timeout: no log line with %q in:\n%s", text, l.all(instance))
		}
	}
}

// all returns all lines of an instance as text, for messages.
func (l *Logs) all(instance lateen.InstanceID) string {
	lines, _ := l.of(func(line lateen.LogLine) bool { return line.Instance == instance })
	var texts []string
	for _, line := range lines {
		texts = append(texts, line.Level+" "+string(line.Request)+": "+line.Text)
	}
	return strings.Join(texts, "\n")
}

// texts returns the texts of the lines of a request, in order.
func (l *Logs) texts(request lateen.RequestID) []string {
	lines, _ := l.of(func(line lateen.LogLine) bool { return line.Request == request })
	var texts []string
	for _, line := range lines {
		texts = append(texts, line.Level+": "+line.Text)
	}
	return slices.Clip(texts)
}
