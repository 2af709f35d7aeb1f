package local

import (
	"bufio"
	"cmp"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	maxLine = 64 << 10 // bytes of what is written past the agent
	maxTail = 4 << 10  // bytes of its last words
)

// output takes what a process writes: through the agent, and past it.
type output struct {
	sink engine.LogSink

	mu   sync.Mutex      // guards below
	line *lateen.LogLine // whose lines are a function's; nil while it is none
	tail []byte
	dumb bool // only the tail is kept
}

// mute has nobody hear what the process writes from now on.
func (o *output) mute() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dumb = true
}

// unmute passes on lines again.
func (o *output) unmute() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dumb = false
}

// become says which function the process is: line is a line without its text.
func (o *output) become(line lateen.LogLine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line, o.tail = &line, nil
}

// loaded says that lines no longer belong to the request that waits for the
// function, unless they say so.
func (o *output) loaded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line.Request = ""
}

// attribute says whose request lines are about from now on that do not say so.
func (o *output) attribute(request lateen.RequestID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line.Request = request
}

// write passes on an entry, which says what is particular to it.
func (o *output) write(entry lateen.LogLine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(append(o.tail, entry.Text...), '\n')
	if extra := len(o.tail) - maxTail; extra > 0 {
		o.tail = o.tail[:copy(o.tail, o.tail[extra:])]
	}
	if o.line == nil || o.dumb {
		return
	}
	line := *o.line
	line.Time, line.Level, line.Text, line.Truncated = lateen.MillisOf(time.Now()), entry.Level, entry.Text, entry.Truncated
	line.Request, line.Source = cmp.Or(entry.Request, line.Request), cmp.Or(entry.Source, line.Source)
	o.sink.Log(line)
}

// copy passes on what is written past the agent, line by line, until all who
// may write have ended.
func (o *output) copy(from *os.File, level string) {
	lines := bufio.NewReaderSize(&pipeReader{file: from}, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			o.write(lateen.LogLine{Level: level, Text: text, Truncated: errors.Is(err, bufio.ErrBufferFull)})
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// lastWords is the end of what the process wrote, set off from what is said
// before; "" if it wrote nothing.
func (o *output) lastWords() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(o.tail), ""))
	if text == "" {
		return ""
	}
	return "\n\n" + text
}

// levelOf is the level of an entry.
func levelOf(l guest.Log) string {
	switch {
	case l.Level == "warn":
		return lateen.LevelWarning
	case l.Level == "error", l.Level == "fatal", l.Level == "" && l.Stream == "stderr":
		return lateen.LevelError
	default:
		return lateen.LevelInfo
	}
}
