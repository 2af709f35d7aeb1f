package command_test

import (
	"testing"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

func TestOnlyNamesATypingMistakeAwayAreSuggested(t *testing.T) {
	t.Parallel()
	names := []string{"env", "deploy", "project", "prod", "logs", "ls", "rm", "members"}
	for text, want := range map[string]string{
		"dev": "", "deply": "deploy", "depoly": "deploy", "prd": "prod", "projct": "project", "log": "logs", "lgs": "logs", "member": "members", "x": "", "": "", "serve": "", "mv": "",
	} {
		if got := command.Nearest(text, names); got != want {
			t.Errorf("%q suggests %q, want %q", text, got, want)
		}
	}
}
