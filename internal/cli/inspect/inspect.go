package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Inspect returns the command `lateen inspect`.
func Inspect(with *command.Session) *cobra.Command {
	s := &session{with}
	var logs, wait bool
	c := &cobra.Command{
		Use:     "inspect [url|id|project]",
		GroupID: command.Look,
		Short:   "Show a deployment",
		Long: "Shows a deployment: its URLs, its Git commit and metadata, and its functions and\n" +
			"files. The name of a project selects its production deployment. The default is\n" +
			"production of the linked project.",
		Example:           "lateen inspect shop.localhost\nlateen inspect dpl_06f2… --logs",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: s.CompleteDeployments,
		RunE: func(c *cobra.Command, args []string) error {
			return s.runInspect(c.Context(), strings.Join(args, ""), logs, wait)
		},
	}
	c.Flags().BoolVarP(&logs, "logs", "l", false, "print the build log")
	c.Flags().BoolVar(&wait, "wait", false, "wait until the deployment is ready or has failed")
	return c
}

// inspectReport is a deployment in the form of the API, with its outputs.
func inspectReport(d *client.Deployment, b *client.Build) (map[string]any, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write the deployment as JSON: %w", err)
	}
	report := map[string]any{}
	if err := json.Unmarshal(text, &report); err != nil {
		return nil, fmt.Errorf("write the deployment as JSON: %w", err)
	}
	report["build"] = b
	return report, nil
}

func (s *session) runInspect(ctx context.Context, name string, logs, wait bool) error {
	api, d, err := s.named(ctx, name)
	if err != nil {
		return err
	}
	if logs {
		return s.buildLog(ctx, api, d, wait)
	}
	if wait && !d.Settled() {
		live := s.Term.Live("Deploying " + string(d.ID))
		settled, err := api.Await(ctx, d, func(client.Progress) {})
		live.Stop()
		if settled == nil || !settled.State.Final() {
			return err
		}
		d = settled
	}
	if d, err = api.Deployment(ctx, string(d.ID)); err != nil { // with all its hosts
		return err
	}
	build, err := api.Build(ctx, string(d.ID))
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		report, err := inspectReport(d, build)
		if err != nil {
			return err
		}
		return s.Term.JSON(report)
	}
	s.inspected(d)
	s.built(build)
	return nil
}

// buildLog prints the lines of a build.
func (s *session) buildLog(ctx context.Context, api *client.Client, d *client.Deployment, follow bool) error {
	for e, err := range api.BuildLog(ctx, d.ID, 0, follow) {
		switch {
		case err != nil:
			return err
		case s.Flags.JSON:
			if err := s.Term.JSONLine(e); err != nil {
				return err
			}
		case e.Text != "":
			for _, line := range terminal.CleanLines(e.Text) {
				s.Term.Answer(terminal.Paint(terminal.Dim, e.CreatedAt.Time().Local().Format("15:04:05.000")) + "  " + command.PaintLevel(e.Level, line))
			}
		}
	}
	return nil
}

// inspected prints the facts of a deployment.
func (s *session) inspected(d *client.Deployment) {
	aliases := make([]string, 0, len(d.Alias))
	for _, h := range d.Alias {
		aliases = append(aliases, terminal.Paint(terminal.Code, command.URLOf(d, h)))
	}
	s.Term.Answer(terminal.Paint(terminal.Bold, terminal.Clean(d.Name)) + "  " + stateText(d) + "  " + targetText(d))
	s.Term.Answer("")
	failure := ""
	if d.ErrorText != "" {
		failure = terminal.Paint(terminal.Bad, terminal.Clean(d.ErrorText))
	}
	s.Term.Fields([]terminal.Field{
		{"error", failure},
		{"url", terminal.Paint(terminal.Code, d.SiteURL)},
		{"aliases", strings.Join(aliases, "\n")},
		{"id", string(d.ID)},
		{"created", s.when(d.CreatedAt)},
		{"took", buildTime(d)},
		{"by", terminal.Clean(d.Creator.Username)},
		{"branch", branch(d)},
		{"commit", commitText(d)},
		{"meta", metaText(d.Meta)},
	})
}

func metaText(meta map[string]string) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		lines = append(lines, terminal.Clean(key+"="+meta[key]))
	}
	return strings.Join(lines, "\n")
}

// shownPaths is how many paths of functions are listed one by one.
const shownPaths = 25

// built prints the contents of a deployment: functions by path, and the numbers of
// other outputs.
func (s *session) built(b *client.Build) {
	var rows [][]string
	files, bytes, more := 0, int64(0), 0
	for _, o := range b.Outputs {
		switch {
		case o.Lambda == nil:
			files++
			bytes += o.Size
		case strings.HasSuffix(o.Path, ".rsc") || len(rows) == shownPaths: // the data of a page that is listed
			more++
		default:
			rows = append(rows, []string{terminal.Paint(terminal.Code, pagePath(o.Path)), terminal.Clean(o.Lambda.Runtime), limit(o.Lambda.Memory, "MiB"), limit(o.Lambda.Timeout, "s")})
		}
	}
	if len(rows) > 0 {
		s.Term.Answer("\n" + terminal.Paint(terminal.Bold, terminal.Count(b.Functions, "function")) + "\n")
		s.Term.Table([]terminal.Column{{Title: "path"}, {Title: "runtime", Drop: 1}, {Title: "memory", Right: true, Drop: 3}, {Title: "time", Right: true, Drop: 2}}, rows)
	}
	if more > 0 {
		s.Term.Answer(terminal.Paint(terminal.Dim, "and "+terminal.Count(more, "more path")+"; list all with --json"))
	}
	facts := []string{terminal.Paint(terminal.Bold, terminal.Count(files, "static file")) + " " + terminal.Paint(terminal.Dim, terminal.Amount(bytes))}
	if b.Prerenders > 0 {
		facts = append(facts, terminal.Paint(terminal.Bold, terminal.Count(b.Prerenders, "prerendered path")))
	}
	s.Term.Answer("\n" + strings.Join(append(facts, terminal.Paint(terminal.Bold, terminal.Count(b.Routes, "route"))), ", "))
}

// pagePath returns the request path of an output.
func pagePath(output string) string {
	if output == "index" {
		return "/"
	}
	return "/" + strings.TrimSuffix(terminal.Clean(output), "/index")
}

// limit formats a limit with its unit; 0 is "".
func limit(n int, unit string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, unit)
}
