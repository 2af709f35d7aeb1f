// Package terminal prints what a command says: its answer, which a script may
// read, and for people words, tables and lines that move.
package terminal

import (
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

// Term does all the printing of commands. The answer of a command, which a
// script may read, goes to standard output and nothing else does. What is for
// people goes to standard error: on a terminal with colour and lines that move,
// elsewhere as plain lines.
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

// text is what is written for painted text.
func (s *stream) text(text string) string {
	if s.color {
		return text
	}
	return ansi.Strip(text)
}

// Moves reports whether lines on standard error can be rewritten.
func (t *Term) Moves() bool { return t.stderr.fd >= 0 }

// Shown reports whether standard output is a terminal.
func (t *Term) Shown() bool { return t.stdout.fd >= 0 }

// Width is how many columns there are for people; 0 is no bound.
func (t *Term) Width() int { return t.stderr.width() }

// AnswerWidth is how many columns there are on standard output; 0 is no bound.
func (t *Term) AnswerWidth() int { return t.stdout.width() }

// Input returns the descriptor of the terminal that is standard input; false
// if it is none.
func (t *Term) Input() (fd int, ok bool) { return t.stdin, t.stdin >= 0 }

// Colorful reports whether what is printed by [Term.Print] keeps its colours.
func (t *Term) Colorful() bool { return t.stdout.color }

// Prompt prints painted text for people, with no line break of its own.
func (t *Term) Prompt(text string) { t.print(&t.stderr, text) }

// Print prints painted text that was asked for.
func (t *Term) Print(text string) { t.print(&t.stdout, text) }

// Log prints text for people as it is.
func (t *Term) Log(text string) { t.write(&t.stderr, text) }

// Interactive reports whether somebody is there to answer a question.
func (t *Term) Interactive() bool { return t.stdin >= 0 && t.stderr.fd >= 0 }

// Answer prints a line of what the command was asked for.
func (t *Term) Answer(line string) { t.print(&t.stdout, line+"\n") }

// JSON prints what the command was asked for, for a program.
func (t *Term) JSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	t.Raw(escapeControls(b) + "\n")
	return nil
}

// JSONLine prints a value of a stream of them, each on a line.
func (t *Term) JSONLine(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	t.Raw(escapeControls(b) + "\n")
	return nil
}

// Raw prints text for a program as it is.
func (t *Term) Raw(text string) { t.write(&t.stdout, text) }

// ErrJSON prints an error, for a program.
func (t *Term) ErrJSON(v any) {
	b, err := json.Marshal(v)
	if err == nil {
		t.write(&t.stderr, escapeControls(b)+"\n")
	}
}

// escapeControls escapes the control characters that JSON allows as they are,
// U+007F to U+009F: terminals take U+009B for the beginning of a sequence.
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

// Linef prints a line for people.
func (t *Term) Linef(format string, args ...any) {
	t.print(&t.stderr, Quoted(fmt.Sprintf(format, args...), t.stderr.color)+"\n")
}

// Donef prints that something succeeded.
func (t *Term) Donef(format string, args ...any) { t.Linef(Paint(Good, "✓")+" "+format, args...) }

// Warnf prints that something is odd.
func (t *Term) Warnf(format string, args ...any) {
	t.Linef(Paint(Warn, "Warning:")+" "+format, args...)
}

// Errorf prints what went wrong.
func (t *Term) Errorf(format string, args ...any) {
	t.labeled(Paint(Bad+";1", "Error:"), format, args...)
}

// Hintf prints what to do next.
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

// write writes text above the line that is being rewritten.
func (t *Term) write(s *stream, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live.erase()
	_, _ = io.WriteString(s, text) // whoever reads it may be gone: that is no failure of the command
	t.live.draw()
}

// Close ends what is being rewritten.
func (t *Term) Close() {
	t.mu.Lock()
	live := t.live
	t.mu.Unlock()
	live.Stop()
}
