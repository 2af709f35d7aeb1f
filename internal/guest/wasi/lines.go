package wasi

import (
	"bytes"
	"strings"
)

const maxLine = 64 << 10 // bytes

// lines splits what a module writes into lines.
type lines struct {
	say  func(text string)
	gone func() error // returns an error once the request has ended
	part []byte       // of a line, at most maxLine bytes
}

// Write takes a piece of text. It returns in the middle of it once the request
// has ended.
func (l *lines) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if err := l.gone(); err != nil {
			return len(p) - len(rest), err
		}
		piece, whole := rest[:min(len(rest), maxLine-len(l.part))], false
		if at := bytes.IndexByte(piece, '\n'); at >= 0 {
			piece, whole = piece[:at+1], true
		}
		l.part = append(l.part, piece...)
		rest = rest[len(piece):]
		if whole || len(l.part) == maxLine {
			l.flush()
		}
	}
	return len(p), nil
}

// flush passes on what there is of a line.
func (l *lines) flush() {
	if line := strings.TrimRight(strings.ToValidUTF8(string(l.part), "\uFFFD"), "\r\n"); line != "" {
		l.say(line)
	}
	l.part = l.part[:0]
}
