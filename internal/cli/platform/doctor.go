package platform

import (
	"context"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// errUnfit ends `lateen doctor` if a requirement is not met.
var errUnfit = &lateen.Error{Code: lateen.Internal, Reason: "host_unfit", Message: "the host does not meet the requirements", Hint: "follow the remedy below each ✗"}

// Doctor returns the command `lateen doctor`.
func Doctor(with *command.Session, daemon Daemon) *cobra.Command {
	s := &session{Session: with, daemon: daemon}
	scrub := false
	c := &cobra.Command{
		Use:     "doctor",
		GroupID: command.Platform,
		Short:   "Check that this host can run the platform",
		Long: "Checks which sandbox layers this host supports, and its disk, address and memory,\n" +
			"and prints a remedy for each failed check. Run it with the settings and as the user\n" +
			"of `lateen up`. It changes nothing.\n\n" +
			"✓ marks a passed check. ! marks a degraded one: the platform runs, with weaker\n" +
			"isolation, lower speed or a risk to data. ✗ marks a failed requirement, which makes\n" +
			"the exit code nonzero.\n\n" +
			"With --scrub, the command verifies the data instead: it reads every artifact and\n" +
			"lists damaged and missing ones with the deployments and hosts that need them. If\n" +
			"there are any, the exit code is nonzero. The platform may run during the scrub.",
		Example: "lateen doctor\nsudo lateen doctor --domain example.com --listen :443\nsudo lateen doctor --scrub --data /var/lib/lateen",
		Args:    command.Takes(0, 0, ""),
	}
	s.settle(c, func(ctx context.Context, settings *config.Config) error {
		if scrub {
			return s.runScrub(ctx, settings)
		}
		return s.runDoctor(ctx, settings)
	})
	c.Flags().BoolVar(&scrub, "scrub", false, "verify every artifact of the data directory and list damaged ones")
	return c
}

func (s *session) runDoctor(ctx context.Context, c *config.Config) error {
	if s.daemon.Examine == nil {
		return errNoPlatform
	}
	var err error
	defaults := config.Default(s.Getenv)
	byDefault := c.Data == defaults.Data && c.Listen == defaults.Listen && c.Domain == defaults.Domain
	if c.Data, err = s.Path(c.Data); err != nil {
		return err
	}
	x, err := s.daemon.Examine(ctx, c)
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		err = s.Term.JSON(struct {
			lateen.Examination

			Fit bool `json:"fit"`
		}{x, x.Unfit() == 0})
	} else {
		s.findings("Sandbox layers", [2]string{"layer", "prevents"}, x.Layers)
		s.findings("This host", [2]string{}, x.Host)
		if byDefault {
			s.Term.Linef("The checks are for the default data directory (%s), address (%s) and domain (%s). If the platform has others, pass the flags of its `lateen up`.", c.Data, c.Listen, c.Domain)
		}
	}
	if n := x.Unfit(); err == nil && n > 0 {
		return errUnfit.With("the host does not meet %s", terminal.Count(n, "requirement"))
	}
	return err
}

// findings prints findings under a title and headings, if there are any, each with its
// remedy below. Under headings are layers with their purposes, and the reason for each
// missing one.
func (s *session) findings(title string, headings [2]string, found []lateen.Finding) {
	const indent = 4
	names := ansi.StringWidth(headings[0])
	for _, f := range found {
		names = max(names, ansi.StringWidth(f.Name))
	}
	text := indent + names + terminal.Gap
	width := s.Term.AnswerWidth()
	fold := func(text string, left int) string {
		if width > left+20 {
			text = terminal.Wrap(text, width-left)
		}
		return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", left))
	}
	var b strings.Builder
	b.WriteString("\n" + terminal.Paint(terminal.Bold, title) + "\n\n")
	if headings[0] != "" {
		b.WriteString(terminal.Paint(terminal.Dim, strings.Repeat(" ", indent)+terminal.Pad(headings[0], names+terminal.Gap, false)+headings[1]) + "\n")
	}
	for _, f := range found {
		b.WriteString("  " + mark(f.Verdict) + " " + terminal.Pad(terminal.Clean(f.Name), names+terminal.Gap, false))
		detail := terminal.Clean(f.Detail)
		if headings[0] != "" {
			b.WriteString(paintWords(terminal.Dim, fold(terminal.Clean(f.Purpose), text)) + "\n")
			if detail != "" {
				b.WriteString(strings.Repeat(" ", text) + fold("Missing: "+detail, text) + "\n")
			}
		} else {
			b.WriteString(fold(detail, text) + "\n")
		}
		if f.Verdict != lateen.Fit && f.Remedy != "" {
			remedy := terminal.Quoted(fold(terminal.Capital(terminal.Clean(f.Remedy)), text+2), s.Term.Colorful())
			b.WriteString(strings.Repeat(" ", text) + terminal.Paint(terminal.Warn, "→") + " " + remedy + "\n")
		}
	}
	s.Term.Print(b.String())
}

// mark is a verdict in one column.
func mark(v lateen.Verdict) string {
	switch v {
	case lateen.Fit:
		return terminal.Paint(terminal.Good, "✓")
	case lateen.Lacking:
		return terminal.Paint(terminal.Warn, "!")
	default:
		return terminal.Paint(terminal.Bad, "✗")
	}
}

// paintWords paints each line of a text separately.
func paintWords(s terminal.Style, text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = terminal.Paint(s, line)
	}
	return strings.Join(lines, "\n")
}
