// Package terminal prints the output of commands: results, which scripts may read, and
// messages, tables and progress lines for users.
package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// Term prints all output of commands. Standard output contains only the result of a
// command, which a script may read. Messages go to standard error: on a terminal with
// colour and progress lines, elsewhere as plain lines.
type Term struct {
	stdin  int // descriptor of a terminal, or -1
	stdout stream
	stderr stream
	now    func() time.Time

	mu   sync.Mutex // guards below
	live *Live      // line at the bottom that is being rewritten; nil is none
}

// stream is an output of a command.
type stream struct {
	io.Writer

	fd    int // of a terminal, or -1
	color bool
	width func() int // columns; 0: no bound
}

// NewTerm returns a Term on a command's streams; now is the time.
func NewTerm(in io.Reader, out, err io.Writer, getenv func(string) string, now func() time.Time) *Term {
	return &Term{stdin: terminal(in), stdout: newStream(out, getenv), stderr: newStream(err, getenv), now: now}
}

// terminal returns the descriptor of a terminal, or -1.
func terminal(v any) int {
	f, ok := v.(*os.File)
	if !ok {
		return -1
	}
	fd := int(f.Fd()) //nolint:gosec // a descriptor fits an int
	if !term.IsTerminal(fd) {
		return -1
	}
	return fd
}

func newStream(w io.Writer, getenv func(string) string) stream {
	s := stream{Writer: w, fd: terminal(w), width: func() int { return 0 }}
	s.color = colorful(s.fd >= 0, getenv)
	if s.fd >= 0 {
		s.width = func() int {
			width, _, err := term.GetSize(s.fd)
			if err != nil || width <= 0 {
				return 80
			}
			return max(width, 24)
		}
	}
	return s
}

// colorful decides on colour as no-color.org and bixense.com/clicolors ask.
func colorful(terminal bool, getenv func(string) string) bool {
	forced := getenv("CLICOLOR_FORCE")
	switch {
	case getenv("NO_COLOR") != "":
		return false
	case forced != "" && forced != "0":
		return true
	}
	return terminal && getenv("TERM") != "dumb" && getenv("CLICOLOR") != "0"
}

// text returns painted text in the form for this stream.
func (s *stream) text(text string) string {
	if s.color {
		return text
	}
	return ansi.Strip(text)
}

// Moves reports whether standard error is a terminal on which lines can be rewritten.
func (t *Term) Moves() bool { return t.stderr.fd >= 0 }

// Shown reports whether standard output is a terminal.
func (t *Term) Shown() bool { return t.stdout.fd >= 0 }

// Width is the number of columns of standard error; 0 is unlimited.
func (t *Term) Width() int { return t.stderr.width() }

// AnswerWidth is the number of columns of standard output; 0 is unlimited.
func (t *Term) AnswerWidth() int { return t.stdout.width() }

// Input returns the descriptor of standard input if it is a terminal, else false.
func (t *Term) Input() (fd int, ok bool) { return t.stdin, t.stdin >= 0 }

// Colorful reports whether text printed by [Term.Print] keeps its colours.
func (t *Term) Colorful() bool { return t.stdout.color }

// Prompt prints painted text to standard error without a line break.
func (t *Term) Prompt(text string) { t.print(&t.stderr, text) }

// Print prints painted text to standard output.
func (t *Term) Print(text string) { t.print(&t.stdout, text) }

// Log prints text to standard error unchanged.
func (t *Term) Log(text string) { t.write(&t.stderr, text) }

// Interactive reports whether a user can answer a prompt.
func (t *Term) Interactive() bool { return t.stdin >= 0 && t.stderr.fd >= 0 }

// Answer prints a line of the result.
func (t *Term) Answer(line string) { t.print(&t.stdout, line+"\n") }

// JSON prints the result as JSON.
func (t *Term) JSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	t.Raw(escapeControls(b) + "\n")
	return nil
}

// JSONLine prints one value of a stream of JSON lines.
func (t *Term) JSONLine(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	t.Raw(escapeControls(b) + "\n")
	return nil
}

// Raw prints text to standard output unchanged.
func (t *Term) Raw(text string) { t.write(&t.stdout, text) }

// ErrJSON prints an error as JSON.
func (t *Term) ErrJSON(v any) {
	var b bytes.Buffer
	text := json.NewEncoder(&b)
	text.SetEscapeHTML(false)
	if text.Encode(v) == nil { // it ends the line
		t.write(&t.stderr, escapeControls(b.Bytes()))
	}
}

// escapeControls escapes the control characters that JSON allows unescaped, U+007F to
// U+009F: terminals interpret U+009B as the beginning of a sequence.
func escapeControls(document []byte) string {
	var b strings.Builder
	for _, r := range string(document) {
		if r >= 0x7f && r <= 0x9f {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Linef prints a line to standard error.
func (t *Term) Linef(format string, args ...any) {
	t.print(&t.stderr, Quoted(fmt.Sprintf(format, args...), t.stderr.color)+"\n")
}

// Donef prints a success message.
func (t *Term) Donef(format string, args ...any) { t.Linef(Paint(Good, "✓")+" "+format, args...) }

// Warnf prints a warning.
func (t *Term) Warnf(format string, args ...any) {
	t.Linef(Paint(Warn, "Warning:")+" "+format, args...)
}

// Errorf prints an error.
func (t *Term) Errorf(format string, args ...any) {
	t.labeled(Paint(Bad+";1", "Error:"), format, args...)
}

// Hintf prints a hint.
func (t *Term) Hintf(format string, args ...any) { t.labeled(Paint(Warn, "Hint:"), format, args...) }

// labeled prints text after a label, aligned with other labels, in lines that fit
// the terminal.
func (t *Term) labeled(label, format string, args ...any) {
	const indent = 7
	text := Quoted(fmt.Sprintf(format, args...), t.stderr.color)
	if width := t.stderr.width(); width > 2*indent {
		text = Wrap(text, width-indent)
	}
	text = strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", indent))
	t.print(&t.stderr, Pad(label, indent, false)+text+"\n")
}

// print writes painted text.
func (t *Term) print(s *stream, text string) { t.write(s, s.text(text)) }

// write writes text above the progress line.
func (t *Term) write(s *stream, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live.erase()
	_, _ = io.WriteString(s, text) // the reader may be gone: that is no failure of the command
	t.live.draw()
}

// Close ends the progress line.
func (t *Term) Close() {
	t.mu.Lock()
	live := t.live
	t.mu.Unlock()
	live.Stop()
}
