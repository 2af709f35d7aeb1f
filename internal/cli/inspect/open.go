package inspect

import (
	"context"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

// Open returns the command `lateen open`. show opens a URL; nil uses the browser of the
// desktop.
func Open(with *command.Session, show func(ctx context.Context, target string) error) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "open [url|id|project]",
		GroupID: command.Look,
		Short:   "Open a deployment in the browser",
		Long: "Opens a deployment in the browser and prints its URL. The default is production of\n" +
			"the linked project.",
		Example:           "lateen open\nlateen open dpl_06f2…",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: s.CompleteDeployments,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		target, err := s.openTarget(c.Context(), args)
		if err != nil {
			return err
		}
		if s.Flags.JSON {
			return s.Term.JSON(map[string]string{"url": target})
		}
		s.Term.Answer(target)
		switch { // the URL is printed, for users without a browser
		case show != nil:
			_ = show(c.Context(), target)
		case s.Term.Shown():
			_ = s.browse(c.Context(), target)
		}
		return nil
	}
	s.ProjectFlag(c)
	return c
}

func (s *session) openTarget(ctx context.Context, args []string) (string, error) {
	_, d, err := s.named(ctx, strings.Join(args, ""))
	if err != nil {
		return "", err
	}
	if len(args) > 0 {
		return d.SiteURL, nil
	}
	return command.Address(d), nil
}

// browse shows a URL in the desktop's browser, if there is a desktop.
func (s *session) browse(ctx context.Context, target string) error {
	opener := "xdg-open"
	switch {
	case !strings.HasPrefix(target, "http"):
		return nil // not for a program to interpret
	case runtime.GOOS == "darwin":
		opener = "open"
	case s.Getenv("DISPLAY") == "" && s.Getenv("WAYLAND_DISPLAY") == "":
		return nil
	}
	program, err := exec.LookPath(opener)
	if err != nil {
		return err
	}
	return exec.CommandContext(ctx, program, target).Start() //nolint:gosec // a URL the platform made
}
