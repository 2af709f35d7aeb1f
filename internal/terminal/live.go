package terminal

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

const (
	frames    = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
	frameTime = 100 * time.Millisecond
	barWidth  = 28
)

// Live is a progress line. On a terminal it is rewritten at the bottom, below all other
// output, until it is finished; elsewhere it is printed at its start and at its end.
type Live struct {
	term  *Term
	since time.Time
	quit  chan struct{} // closed to end the ticking
	ended chan struct{} // closed when it has ended

	// Guarded by the mutex of term.
	label       string
	note        string
	done, total int64
	frame       int
}

// Live starts a progress line. There is one at a time: a new one ends the previous one.
func (t *Term) Live(label string) *Live {
	t.Close()
	l := &Live{term: t, since: t.now(), label: label, quit: make(chan struct{}), ended: make(chan struct{})}
	if !t.Moves() {
		close(l.ended)
		t.Linef("%s…", label)
		return l
	}
	t.mu.Lock()
	t.live = l
	l.draw()
	t.mu.Unlock()
	go l.tick()
	return l
}

// tick redraws the line until it ends.
func (l *Live) tick() {
	defer close(l.ended)
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-ticker.C:
			l.term.mu.Lock()
			if l.term.live == l {
				l.frame++
				l.draw()
			}
			l.term.mu.Unlock()
		}
	}
}

// Set sets the progress, done of total, and a note. A total of 0 is unknown.
func (l *Live) Set(done, total int64, note string) {
	l.term.mu.Lock()
	defer l.term.mu.Unlock()
	l.done, l.total, l.note = done, total, note
}

// Stop removes the line. It may be called again, and on nil.
func (l *Live) Stop() {
	if l == nil {
		return
	}
	l.term.mu.Lock()
	if l.term.live == l {
		l.erase()
		l.term.live = nil
		close(l.quit)
	}
	l.term.mu.Unlock()
	<-l.ended
}

// Finish replaces the line by its result and its duration.
func (l *Live) Finish(format string, args ...any) {
	l.Stop()
	took := l.term.now().Sub(l.since)
	l.term.Donef("%s %s", fmt.Sprintf(format, args...), Paint(Dim, Elapsed(took)))
}

// erase clears the line; the mutex of the terminal is held.
func (l *Live) erase() {
	if l != nil {
		_, _ = io.WriteString(l.term.stderr, "\r\x1b[K")
	}
}

// draw writes the line; the mutex of the terminal is held.
func (l *Live) draw() {
	if l == nil {
		return
	}
	s := &l.term.stderr
	_, _ = io.WriteString(s, "\r"+s.text(l.text(s.width()))+"\x1b[K")
}

// text is the line in at most width columns: the least important parts go first.
func (l *Live) text(width int) string {
	symbols := []rune(frames)
	head := Paint(Code, string(symbols[l.frame%len(symbols)])) + " " + l.label
	tail := Paint(Dim, Elapsed(l.term.now().Sub(l.since)))
	if l.note != "" {
		tail = l.note + "  " + tail
	}
	room := width - ansi.StringWidth(head) - ansi.StringWidth(tail) - 5
	if l.total > 0 && room >= 8 {
		head += "  " + bar(l.done, l.total, min(room, barWidth))
	}
	return Cut(head+"  "+tail, width-1)
}

// bar shows done of total in width columns.
func bar(done, total int64, width int) string {
	full := 0
	if total > 0 {
		full = int(min(max(done, 0), total) * int64(width) / total)
	}
	return Paint(Code, strings.Repeat("━", full)) + Paint(Dim, strings.Repeat("─", width-full))
}
