package cli

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// exits is the exit code of each class of error.
var exits = map[lateen.Code]int{
	lateen.Internal:        1,
	lateen.Invalid:         2,
	lateen.Unauthenticated: 3,
	lateen.Forbidden:       3,
	lateen.NotFound:        4,
	lateen.Conflict:        5,
	lateen.Exhausted:       6,
	lateen.Faulted:         7,
	lateen.Unavailable:     8,
	lateen.Timeout:         8,
}

// exitInterrupted is 128 plus the number of SIGINT, as in shells.
const exitInterrupted = 130

// Errors of the commands themselves.
var (
	errInterrupted = &lateen.Error{Code: lateen.Internal, Reason: "interrupted", Message: "interrupted"}
	errNoAccess    = &lateen.Error{Code: lateen.Forbidden, Reason: "file_forbidden", Message: "permission denied", Hint: "check the owner and the mode of the file"}
)

// explained gives a correctable error of the file system its class.
func explained(err error) error {
	file, ok := errors.AsType[*fs.PathError](err)
	if _, known := errors.AsType[*lateen.Error](err); known || !ok || !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
		return err
	}
	return errNoAccess.With("%s", err).WithHint("check the owner and the mode of %s and of its directory", file.Path)
}

// exitCode is the exit code of an error.
func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	}
	return exits[lateen.CodeOf(err)]
}

// errorReport is an error as --json prints it.
type errorReport struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Class   lateen.Code       `json:"class"`
	Code    string            `json:"code"`
	Message string            `json:"message"`
	Hint    string            `json:"hint,omitempty"`
	Fields  map[string]string `json:"fields,omitempty"`
	Exit    int               `json:"exit"`
}

// fail prints an error of a command and its hint.
func fail(s *command.Session, cmd *cobra.Command, err error) {
	e, ok := errors.AsType[*lateen.Error](err)
	if !ok {
		e = &lateen.Error{Code: lateen.Internal, Reason: "internal", Message: err.Error()}
	}
	message := e.Message
	if e.Code == lateen.Internal && e.Reason == "internal" {
		message = err.Error()
	}
	hint := e.Hint
	if hint == "" && errors.Is(err, command.ErrUsage) && cmd != nil {
		hint = "show the usage with `" + cmd.CommandPath() + " --help`"
	}
	if s.Flags.JSON {
		s.Term.ErrJSON(errorReport{errorDetail{Class: e.Code, Code: e.Reason, Message: message, Hint: hint, Fields: e.Fields, Exit: exitCode(err)}})
		return
	}
	if errors.Is(err, command.ErrDeclined) || errors.Is(err, errInterrupted) {
		s.Term.Linef("%s.", terminal.Capital(message)) // as they wanted
		return
	}
	s.Term.Errorf("%s", message)
	if !errors.Is(err, lateen.ErrMissingFiles) {
		for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
			s.Term.Linef("       %s: %s", terminal.Paint(terminal.Bold, name), e.Fields[name])
		}
	}
	if hint != "" {
		s.Term.Hintf("%s", terminal.Capital(hint))
	}
}
