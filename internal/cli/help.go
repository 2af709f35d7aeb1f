package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// helpText explains a command in at most width columns; 0 is 80.
func helpText(c *cobra.Command, width int) string {
	if width == 0 || width > 100 {
		width = min(max(width, 80), 100)
	}
	h := &help{width: width}
	h.paragraph(describe(c))
	h.section("Usage", usages(c))
	if c.Example != "" {
		h.section("Examples", examples(c.Example))
	}
	h.commands(c)
	h.flags("Flags", c.LocalNonPersistentFlags())
	if c.HasParent() {
		h.flags("", c.LocalFlags(), c.LocalNonPersistentFlags())
		h.b.WriteString("\nUse " + terminal.Paint(terminal.Dim, "lateen --help") + " for the global flags.\n")
	} else {
		h.flags("Global flags", c.PersistentFlags())
		h.b.WriteString("\nUse " + terminal.Paint(terminal.Dim, "lateen <command> --help") + " for details of a command.\n")
	}
	return h.b.String()
}

// help is a help text being written.
type help struct {
	b     strings.Builder
	width int
}

// describe returns the description of a command, in sentences.
func describe(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}

func usages(c *cobra.Command) []string {
	if c.HasAvailableSubCommands() {
		return []string{c.CommandPath() + " <command>"}
	}
	return []string{c.UseLine() + " [flags]"}
}

// examples paints lines of "command # meaning".
func examples(text string) []string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		command, comment, ok := strings.Cut(line, " # ")
		lines[i] = terminal.Paint(terminal.Dim, "$ ") + command
		if ok {
			lines[i] += " " + terminal.Paint(terminal.Dim, "# "+comment)
		}
	}
	return lines
}

// paragraph writes sentences: single line breaks are where the source breaks.
func (h *help) paragraph(text string) {
	for i, part := range strings.Split(text, "\n\n") {
		if i > 0 {
			h.b.WriteString("\n")
		}
		h.b.WriteString(quotedHelp(terminal.Wrap(strings.ReplaceAll(part, "\n", " "), h.width)) + "\n")
	}
}

func (h *help) section(title string, lines []string) {
	h.b.WriteString("\n" + terminal.Paint(terminal.Bold, title) + "\n")
	for _, line := range lines {
		h.b.WriteString("  " + line + "\n")
	}
}

// commands lists the subcommands of c by their groups.
func (h *help) commands(c *cobra.Command) {
	width := 0
	for _, sub := range c.Commands() {
		width = max(width, len(sub.Name()))
	}
	groups := []*cobra.Group{{Title: "Commands"}}
	if len(c.Groups()) > 0 {
		groups = append(slices.Clone(c.Groups()), &cobra.Group{Title: "More"})
	}
	list := inOrder(c)
	for _, g := range groups {
		var rows []row
		for _, sub := range list {
			if sub.GroupID == g.ID && (sub.IsAvailableCommand() || sub.Name() == "help") {
				rows = append(rows, row{terminal.Paint(terminal.Code, sub.Name()), sub.Short})
			}
		}
		h.rows(g.Title, rows, width)
	}
}

// inOrder returns the subcommands of c as they were added, not by name.
func inOrder(c *cobra.Command) []*cobra.Command {
	return slices.SortedStableFunc(slices.Values(c.Commands()), func(a, b *cobra.Command) int {
		return cmp.Compare(a.Annotations[command.OrderKey], b.Annotations[command.OrderKey])
	})
}

// row is a name with its description.
type row struct{ name, text string }

// rows writes names and descriptions in two columns.
func (h *help) rows(title string, rows []row, width int) {
	if len(rows) == 0 {
		return
	}
	if title != "" {
		h.b.WriteString("\n" + terminal.Paint(terminal.Bold, title) + "\n")
	}
	const gap = 3
	indent := width + 2 + gap
	for _, r := range rows {
		text := terminal.Wrap(r.text, max(20, h.width-indent))
		text = strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", indent))
		h.b.WriteString("  " + terminal.Pad(r.name, width, false) + strings.Repeat(" ", gap) + quotedHelp(text) + "\n")
	}
}

// flags lists flags that are not in the sets without.
func (h *help) flags(title string, set *pflag.FlagSet, without ...*pflag.FlagSet) {
	var rows []row
	width := 0
	set.SortFlags = false
	set.VisitAll(func(f *pflag.Flag) {
		for _, other := range without {
			if other.Lookup(f.Name) != nil {
				return
			}
		}
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		if list := choices(kind); list != "" {
			kind, usage = "word", usage+list
		}
		name := "    --" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", --" + f.Name
		}
		name = terminal.Paint(terminal.Code, name)
		if kind != "" {
			name += " " + kind
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && !strings.Contains(usage, "default") {
			usage += terminal.Paint(terminal.Dim, " (default "+terminal.TrimDuration(f.DefValue)+")")
		}
		width = max(width, ansi.StringWidth(name))
		rows = append(rows, row{name, usage})
	})
	h.rows(title, rows, min(width, 36))
}

// choices returns the values of a flag, if its type lists them.
func choices(kind string) string {
	if !strings.Contains(kind, "|") {
		return ""
	}
	return " (" + strings.ReplaceAll(kind, "|", ", ") + ")"
}

// quotedHelp paints text between backticks and removes the backticks, with or without
// colour.
func quotedHelp(text string) string { return terminal.Quoted(text, true) }
