package process

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
)

const (
	maxLine      = 64 << 10 // maximum bytes of a line that bypasses the agent
	maxTailBytes = 4 << 10  // maximum bytes of the tail
)

// Output takes the log lines of a process: from the agent, stdout and stderr.
type Output struct {
	sink engine.LogSink

	mu    sync.Mutex      // guards the fields below
	line  *lateen.LogLine // fields of the function's log lines; nil for a process without a function
	tail  []byte
	muted bool // only the tail is updated
}

// Mute discards the following lines of the process, except for the tail.
func (o *Output) Mute() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.muted = true
}

// Unmute forwards lines again.
func (o *Output) Unmute() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.muted = false
}

// Assign assigns the process to a function: line is a log line without its text.
func (o *Output) Assign(line lateen.LogLine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line, o.tail = &line, nil
}

// Loaded ends the default that lines belong to the request that waits for the
// function.
func (o *Output) Loaded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line.Request = ""
}

// Attribute sets the default request of the following lines.
func (o *Output) Attribute(request lateen.RequestID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line.Request = request
}

// Log forwards an entry, completed with the fields of the function.
func (o *Output) Log(entry lateen.LogLine) {
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
func (o *Output) copy(from *os.File, level string) {
	lines := bufio.NewReaderSize(&pipeReader{file: from}, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			o.Log(lateen.LogLine{Level: level, Text: text, Truncated: errors.Is(err, bufio.ErrBufferFull)})
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// LastOutput returns the tail of the output after an empty line; "" if it is empty.
func (o *Output) LastOutput() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(o.tail), ""))
	if text == "" {
		return ""
	}
	return "\n\n" + text
}
