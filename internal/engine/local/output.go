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
	maxLine      = 64 << 10 // maximum bytes of a line that bypasses the agent
	maxTailBytes = 4 << 10  // maximum bytes of the tail
)

// output takes the log lines of a process: from the agent, stdout and stderr.
type output struct {
	sink engine.LogSink

	mu    sync.Mutex      // guards the fields below
	line  *lateen.LogLine // fields of the function's log lines; nil for a process without a function
	tail  []byte
	muted bool // only the tail is updated
}

// mute discards the following lines of the process, except for the tail.
func (o *output) mute() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.muted = true
}

// unmute forwards lines again.
func (o *output) unmute() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.muted = false
}

// assign assigns the process to a function: line is a log line without its text.
func (o *output) assign(line lateen.LogLine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line, o.tail = &line, nil
}

// loaded ends the default that lines belong to the request that waits for the
// function.
func (o *output) loaded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line.Request = ""
}

// attribute sets the default request of the following lines.
func (o *output) attribute(request lateen.RequestID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line.Request = request
}

// write forwards an entry, completed with the fields of the function.
func (o *output) write(entry lateen.LogLine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(append(o.tail, entry.Text...), '\n')
	if extra := len(o.tail) - maxTailBytes; extra > 0 {
		o.tail = o.tail[:copy(o.tail, o.tail[extra:])]
	}
	if o.line == nil || o.muted {
		return
	}
	line := *o.line
	line.Time, line.Level, line.Text, line.Truncated = lateen.MillisOf(time.Now()), entry.Level, entry.Text, entry.Truncated
	line.Request, line.Source = cmp.Or(entry.Request, line.Request), cmp.Or(entry.Source, line.Source)
	o.sink.Log(line)
}

// copy forwards the lines of stdout or stderr, until all writers have ended.
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

// lastOutput returns the tail of the output after an empty line; "" if it is empty.
func (o *output) lastOutput() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(o.tail), ""))
	if text == "" {
		return ""
	}
	return "\n\n" + text
}

// levelOf returns the level of an entry.
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
