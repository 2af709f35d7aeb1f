package wasi

import (
	"bytes"
	"strings"
)

const maxLine = 64 << 10 // bytes

// lines splits the output of a module into lines.
type lines struct {
	emit       func(text string)
	requestErr func() error // returns an error once the request has ended
	part       []byte       // incomplete line, at most maxLine bytes
}

// Write writes text. It stops before the end once the request has ended.
func (l *lines) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if err := l.requestErr(); err != nil {
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

// flush writes an incomplete line.
func (l *lines) flush() {
	if line := strings.TrimRight(strings.ToValidUTF8(string(l.part), "\uFFFD"), "\r\n"); line != "" {
		l.emit(line)
	}
	l.part = l.part[:0]
}
