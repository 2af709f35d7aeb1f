package cli

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

// errUnfit ends `lateen doctor` where something essential is missing.
var errUnfit = &lateen.Error{Code: lateen.Internal, Reason: "host_unfit", Message: "this host is not fit for a platform", Hint: "each ✗ above says what to do about it"}

func newDoctorCommand(s *session) *cobra.Command {
	scrub := false
	c := &cobra.Command{
		Use:     "doctor",
		GroupID: command.Platform,
		Short:   "Examine this host",
		Long: "Tells which layers of the sandbox this host permits, why it does not permit the\n" +
			"others, and what else a platform would lack there: a disk, an address, room. It\n" +
			"takes the settings that `lateen up` would take, as the same user, and changes\n" +
			"nothing.\n\n" +
			"✓ is as it should be. ! works, but functions could take more than their share, or\n" +
			"something be slow or lost. ✗ is essential; if there is one, the exit code is not 0.\n\n" +
			"With --scrub the command examines the data instead: it reads every artefact, and\n" +
			"names those that are damaged or missing, with the deployments and the hosts that\n" +
			"need them; if there is one, the exit code is not 0. A platform may run meanwhile.",
		Example: "lateen doctor\nsudo lateen doctor --domain example.com --listen :443\nsudo lateen doctor --scrub --data /var/lib/lateen",
		Args:    command.Takes(0, 0, ""),
	}
	s.settle(c, func(ctx context.Context, settings *config.Config) error {
		if scrub {
			return s.runScrub(ctx, settings)
		}
		return s.runDoctor(ctx, settings)
	})
	c.Flags().BoolVar(&scrub, "scrub", false, "read every artefact of the data directory, and name the damaged ones")
	return c
}

func (s *session) runDoctor(ctx context.Context, c *config.Config) error {
	if s.Doctor == nil {
		return errNoPlatform
	}
	var err error
	if c.Data, err = s.Path(c.Data); err != nil {
		return err
	}
	x, err := s.Doctor(ctx, c)
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		err = s.Term.JSON(struct {
			lateen.Examination

			Fit bool `json:"fit"`
		}{x, x.Unfit() == 0})
	} else {
		s.findings("Layers of the sandbox, which keep functions from …", x.Walls)
		s.findings("This host", x.Host)
	}
	if n := x.Unfit(); err == nil && n > 0 {
		return errUnfit.With("this host is not fit for a platform: %s missing", terminal.Count(n, "essential"))
	}
	return err
}

// findings prints what was found under a title, what to do about it beneath.
func (s *session) findings(title string, found []lateen.Finding) {
	const indent = 4
	names := 0
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
	for _, f := range found {
		b.WriteString("  " + mark(f.Verdict) + " " + terminal.Pad(terminal.Clean(f.Name), names+terminal.Gap, false))
		if f.Detail == "" {
			b.WriteString(paintWords(terminal.Dim, fold(terminal.Clean(f.Purpose), text)) + "\n")
		} else {
			b.WriteString(fold(terminal.Clean(f.Detail), text) + "\n")
		}
		if f.Verdict != lateen.Fit && f.Remedy != "" {
			remedy := terminal.Quoted(fold(capital(terminal.Clean(f.Remedy)), text+2), s.Term.Colorful())
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

// paintWords paints each line of a text by itself.
func paintWords(s terminal.Style, text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = terminal.Paint(s, line)
	}
	return strings.Join(lines, "\n")
}
