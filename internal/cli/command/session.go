// Package command contains the parts that all commands share: the session of a command
// with its flags, prompts and client, and the construction of the command tree.
package command

import (
	"bufio"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Errors of every command.
var (
	ErrUsage    = &lateen.Error{Code: lateen.Invalid, Reason: "usage", Message: "the command is malformed"}
	ErrDeclined = &lateen.Error{Code: lateen.Invalid, Reason: "declined", Message: "nothing was changed"}
)

// Process is the part of the process that a session uses. No field is optional.
type Process struct {
	Env            []string // KEY=value, as of [os.Environ]
	Dir            string   // working directory; "" is the process's
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	HTTP           *http.Client // for calls to the platform
	UserAgent      string       // of calls to the platform
	Now            func() time.Time
}

// Flags are the flags that every command has.
type Flags struct {
	Client  config.Client
	Project string // id or name; "" is the one that the directory is linked to
	CWD     string // directory to act in; "" is the working directory
	JSON    bool   // answer in JSON, errors too
}

// Session is one run of a command.
type Session struct {
	Term  *terminal.Term
	Flags Flags

	process Process
	input   *bufio.Reader // of Stdin
}

// NewSession returns the session of a process.
func NewSession(p Process) *Session {
	s := &Session{process: p, input: bufio.NewReader(p.Stdin)}
	s.Term = terminal.NewTerm(p.Stdin, p.Stdout, p.Stderr, s.Getenv, p.Now)
	return s
}

// Getenv is the value of an environment variable; the last one of a name counts.
func (s *Session) Getenv(name string) string {
	for i := len(s.process.Env) - 1; i >= 0; i-- {
		if key, value, ok := strings.Cut(s.process.Env[i], "="); ok && key == name {
			return value
		}
	}
	return ""
}

// Stdout is the standard output of the process, for bytes that are no text.
func (s *Session) Stdout() io.Writer { return s.process.Stdout }

// WarnOfUnknown warns of the variables of the environment that look like settings and
// are none.
func (s *Session) WarnOfUnknown() {
	for _, name := range config.Unknown(s.process.Env) {
		if meant := Nearest(name, config.Variables()); meant != "" {
			s.Term.Warnf("%s is not a setting and is ignored. Did you mean %s?", name, meant)
		} else {
			s.Term.Warnf("%s is not a setting and is ignored.", name)
		}
	}
}

// Path resolves a path of user input against the directory of the command.
func (s *Session) Path(name string) (string, error) {
	for _, dir := range []string{s.Flags.CWD, s.process.Dir} {
		if filepath.IsAbs(name) {
			break
		}
		name = filepath.Join(dir, name)
	}
	if name == "" {
		name = "."
	}
	return filepath.Abs(name)
}
