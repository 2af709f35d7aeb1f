package wasi

import (
	"bytes"
	"strings"
)

const maxLine = 64 << 10 // bytes

// lines splits what is written into lines.
type lines struct {
	say  func(text string)
	part []byte
}

// Write takes a piece.
func (l *lines) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		line, rest, found := bytes.Cut(l.part, []byte{'\n'})
		if !found && len(line) > maxLine {
			line, rest, found = line[:maxLine], line[maxLine:], true
		}
		if !found {
			return len(p), nil
		}
		l.tell(line)
		l.part = bytes.Clone(rest)
	}
}

func (l *lines) flush() {
	l.tell(l.part)
	l.part = nil
}

func (l *lines) tell(text []byte) {
	if line := strings.TrimRight(strings.ToValidUTF8(string(text), "\uFFFD"), "\r"); line != "" {
		l.say(line)
	}
}
