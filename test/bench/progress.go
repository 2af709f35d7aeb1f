package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// progress is a line on a terminal that shows the current step.
type progress struct {
	f    *os.File
	live bool

	mu      sync.Mutex // guards below
	chapter string
	began   time.Time
}

func newProgress(f *os.File) *progress {
	return &progress{f: f, live: terminal(f), began: time.Now()}
}

// begin names the current chapter.
func (p *progress) begin(chapter string) {
	p.mu.Lock()
	p.chapter = chapter
	p.mu.Unlock()
	if !p.live {
		fmt.Fprintf(p.f, "%s  %s\n", p.elapsed(), chapter)
	}
}

// say replaces the line.
func (p *progress) say(format string, args ...any) {
	if !p.live {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.f, "\r\x1b[K%s  %s  %s", p.elapsed(), p.chapter, fmt.Sprintf(format, args...))
}

func (p *progress) clear() {
	if p.live {
		fmt.Fprint(p.f, "\r\x1b[K")
	}
}

func (p *progress) elapsed() string {
	took := time.Since(p.began).Round(time.Second)
	return fmt.Sprintf("%d:%02d", int(took.Minutes()), int(took.Seconds())%60)
}

// terminal reports whether f is one.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// colourful reports whether text on f may have colours.
func colourful(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && (terminal(f) || os.Getenv("FORCE_COLOR") != "")
}
