package inspect

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

var errNoFunction = &lateen.Error{Code: lateen.NotFound, Reason: "function_not_found", Message: "function not found", Hint: "list them with `lateen functions ls`"}

// Functions returns the command `lateen functions`.
func Functions(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "functions",
		Aliases: []string{"function", "fn"},
		GroupID: command.Look,
		Short:   "Show functions and their instances",
		Long: "Shows the functions of a project with the states of their instances, their queues\n" +
			"and their latencies by kind of start.",
		Example: "lateen functions ls\nlateen functions inspect /api/hello",
	}
	command.Family(c)
	command.Adopt(c, newFunctionsListCommand(s), newFunctionsInspectCommand(s))
	return c
}

func newFunctionsListCommand(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:     "ls [project]",
		Aliases: []string{"list"},
		Short:   "List functions",
		Long: "Lists all functions of production, and the functions of other deployments that have\n" +
			"instances. The columns of the kinds of start show the median and the 99th percentile\n" +
			"of the time to the first byte of the response.",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: s.CompleteProjects,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				s.Flags.Project = args[0]
			}
			return s.listFunctions(c.Context())
		},
	}
	s.ProjectFlag(c)
	return c
}

// startKinds are the kinds of start in the order of tables.
func startKinds() []lateen.StartKind {
	return []lateen.StartKind{
		lateen.StartWarm, lateen.StartThawed, lateen.StartPrewarmed, lateen.StartTemplate, lateen.StartBlank, lateen.StartCold,
	}
}

func (s *session) listFunctions(ctx context.Context) error {
	on, err := s.Here(ctx)
	if err != nil {
		return err
	}
	functions, err := on.Client.Functions(ctx, string(on.Project.ID))
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		return s.Term.JSON(map[string]any{"functions": functions})
	}
	if len(functions) == 0 && on.Project.Targets[lateen.Production] == nil {
		s.Term.Linef("No deployment serves production of %s. Create one with `lateen deploy --prod`.", on.Project.Name)
		return nil
	}
	if len(functions) == 0 {
		s.Term.Linef("Production of %s has no functions.", on.Project.Name)
		return nil
	}
	columns := []terminal.Column{
		{Title: "function"},
		{Title: "deployment", Drop: 3},
		{Title: "runtime", Drop: 9},
		{Title: "instances"},
		{Title: "busy", Right: true, Drop: 2},
		{Title: "queue", Right: true, Drop: 1},
		{Title: "asked", Right: true, Drop: 4},
	}
	for i, kind := range startKinds() {
		columns = append(columns, terminal.Column{Title: string(kind), Right: true, Drop: 5 + i%4})
	}
	rows := make([][]string, 0, len(functions))
	for i := range functions {
		rows = append(rows, s.functionRow(&functions[i]))
	}
	s.Term.Table(columns, rows)
	return nil
}

// functionRow returns the cells of a function; cells without a value are empty.
func (s *session) functionRow(f *client.Function) []string {
	where, asked := "", ""
	if !f.Production {
		where = string(f.Deployment)
	}
	if f.LastAsked != 0 {
		asked = s.Age(f.LastAsked)
	}
	row := []string{terminal.Paint(terminal.Bold, terminal.Clean(f.Function)), where, terminal.Clean(f.Runtime), instancesText(f), positive(f.InFlight), positive(f.Waiting), asked}
	for _, kind := range startKinds() {
		cell := ""
		if i := slices.IndexFunc(f.Starts, func(t lateen.StartState) bool { return t.Kind == kind }); i >= 0 {
			cell = terminal.Precise(f.Starts[i].P50) + terminal.Paint(terminal.Dim, " / "+terminal.Precise(f.Starts[i].P99))
		}
		row = append(row, cell)
	}
	return row
}

func positive(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// instancesText counts instances by state: 2 running, 1 frozen.
func instancesText(f *client.Function) string {
	var words []string
	for _, phase := range []struct {
		phase lateen.Phase
		style terminal.Style
	}{{lateen.PhaseRunning, terminal.Good}, {lateen.PhaseFrozen, terminal.Code}, {lateen.PhaseReclaimed, terminal.Code}, {lateen.PhaseLeaving, terminal.Dim}} {
		n := 0
		for _, i := range f.Instances {
			if i.Phase == phase.phase {
				n++
			}
		}
		if n > 0 {
			words = append(words, terminal.Paint(phase.style, strconv.Itoa(n)+" "+string(phase.phase)))
		}
	}
	if f.Starting > 0 {
		words = append(words, terminal.Paint(terminal.Warn, strconv.Itoa(f.Starting)+" starting"))
	}
	if len(words) == 0 {
		return terminal.Paint(terminal.Dim, "idle")
	}
	return strings.Join(words, ", ")
}

func newFunctionsInspectCommand(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:               "inspect <function>",
		Short:             "Show a function",
		Long:              "Shows a function with its instances, its limits, and its measured start times,\nrequest times and resource usage.",
		Example:           "lateen functions inspect /api/hello\nlateen functions inspect api/hello --project shop --json",
		Args:              command.Takes(1, 1, "the function"),
		ValidArgsFunction: command.CompleteFirst(s.completeFunctions),
		RunE: func(c *cobra.Command, args []string) error {
			return s.inspectFunction(c.Context(), args[0])
		},
	}
	s.ProjectFlag(c)
	return c
}

func (s *session) inspectFunction(ctx context.Context, name string) error {
	on, err := s.Here(ctx)
	if err != nil {
		return err
	}
	functions, err := on.Client.Functions(ctx, string(on.Project.ID))
	if err != nil {
		return err
	}
	only := onlyName(functions)
	functions = slices.DeleteFunc(functions, func(f client.Function) bool { return !leadsTo(&f, name) })
	switch {
	case len(functions) == 0 && only != "": // its routes may lead every path to it
		return errNoFunction.With("function %s not found in %s", name, on.Project.Name).
			WithHint("the project has one function: show it with `lateen functions inspect '%s'`", only)
	case len(functions) == 0:
		return errNoFunction.With("function %s not found in %s", name, on.Project.Name)
	}
	if s.Flags.JSON {
		return s.Term.JSON(map[string]any{"functions": functions})
	}
	for i := range functions {
		if i > 0 {
			s.Term.Answer("")
		}
		s.inspectedFunction(&functions[i])
	}
	return nil
}

// onlyName returns the name that all functions have, in several deployments, or "".
func onlyName(functions []client.Function) string {
	if len(functions) == 0 {
		return ""
	}
	name := functions[0].Function
	if slices.ContainsFunc(functions, func(f client.Function) bool { return f.Function != name }) {
		return ""
	}
	return name
}

// leadsTo reports whether name is the name of f, or a path that leads to it, with or
// without the first slash.
func leadsTo(f *client.Function, name string) bool {
	name = "/" + strings.Trim(name, "/")
	is := func(path string) bool {
		path = "/" + strings.Trim(path, "/")
		return path == name || path == strings.TrimSuffix(name, "/")+"/index"
	}
	return is(f.Function) || slices.ContainsFunc(f.Paths, is)
}

// inspectedFunction prints the facts of a function.
func (s *session) inspectedFunction(f *client.Function) {
	where := "production"
	if !f.Production {
		where = string(f.Deployment)
	}
	s.Term.Answer(terminal.Paint(terminal.Bold, terminal.Clean(f.Function)) + "  " + instancesText(f) + "  " + where + "\n")
	scale := ""
	if f.MaxInstances > 0 {
		scale = fmt.Sprintf("%d to %d", f.MinInstances, f.MaxInstances)
	}
	next := ""
	if left := f.PrewarmAt.Time().Sub(s.Time()); f.PrewarmAt != 0 && left > 0 {
		next = "in " + terminal.Elapsed(left) + ", ahead of a predicted request"
	}
	archive, template := "", ""
	if p := f.Preparation; p != nil {
		archive, template = preparedText(p.Archive, p.NoArchive), preparedText(p.Template, p.NoTemplate)
	}
	s.Term.Fields([]terminal.Field{
		{"runtime", terminal.Clean(f.Runtime)},
		{"paths", pathsText(f.Paths)},
		{"in flight", positive(f.InFlight)},
		{"waiting", positive(f.Waiting)},
		{"instances", scale},
		{"concurrency", concurrencyText(f)},
		{"memory", limit(f.MemoryLimit, "MiB")},
		{"max duration", limit(f.MaxDuration, "s")},
		{"last request", s.whenAsked(f.LastAsked)},
		{"keep-alive", learned(f.KeepAlive, terminal.Elapsed)},
		{"next start", next},
		{"start time", learned(f.StartTime, terminal.Precise)},
		{"request time", learned(f.Service, terminal.Precise)},
		{"CPU time", learned(f.CPU, terminal.Precise)},
		{"event-loop delay", learned(f.Delay, terminal.Precise)},
		{"memory in use", usedText(f.Memory)},
		{"archive", archive},
		{"template", template},
	})
	s.instancesTable(f.Instances)
	s.startsTable(f.Starts)
}

// preparedText reports whether a function has a code cache or a template process, or
// the reason for its absence.
func preparedText(has bool, why string) string {
	switch {
	case has:
		return "yes"
	case why == "":
		return "none"
	}
	return "none: " + terminal.Clean(why)
}

func (s *session) whenAsked(at lateen.Millis) string {
	if at == 0 {
		return "never"
	}
	return s.when(at)
}

// pathsText lists some paths, one a line.
func pathsText(paths []string) string {
	const shown = 6
	lines := make([]string, 0, shown)
	for _, path := range paths {
		if strings.HasSuffix(path, ".rsc") { // the data of a page that is listed
			continue
		}
		if len(lines) == shown {
			lines = append(lines, terminal.Paint(terminal.Dim, "… list all with --json"))
			break
		}
		lines = append(lines, terminal.Paint(terminal.Code, pagePath(strings.TrimPrefix(path, "/"))))
	}
	return strings.Join(lines, "\n")
}

func concurrencyText(f *client.Function) string {
	switch f.Limit {
	case 0:
		return ""
	case f.MaxLimit:
		return strconv.Itoa(f.Limit)
	}
	return fmt.Sprintf("%d (at most %d)", f.Limit, f.MaxLimit)
}

// learned formats a duration; unknown ones are "".
func learned(d time.Duration, text func(time.Duration) string) string {
	if d <= 0 {
		return ""
	}
	return text(d)
}

func usedText(bytes int64) string {
	if bytes <= 0 {
		return ""
	}
	return terminal.Amount(bytes)
}

func (s *session) instancesTable(instances []lateen.InstanceState) {
	if len(instances) == 0 {
		return
	}
	rows := make([][]string, 0, len(instances))
	for _, i := range instances {
		rows = append(rows, []string{
			string(i.ID), string(i.Phase), string(i.Start), s.Age(i.Since), strconv.Itoa(i.InFlight), strconv.FormatInt(i.Requests, 10), terminal.Precise(i.CPU), usedText(i.Memory),
		})
	}
	s.Term.Answer("\n" + terminal.Paint(terminal.Bold, terminal.Count(len(instances), "instance")) + "\n")
	s.Term.Table([]terminal.Column{
		{Title: "id"},
		{Title: "state"},
		{Title: "start", Drop: 3},
		{Title: "age", Right: true, Drop: 1},
		{Title: "busy", Right: true},
		{Title: "requests", Right: true, Drop: 2},
		{Title: "cpu", Right: true, Drop: 4},
		{Title: "memory", Right: true, Drop: 5},
	}, rows)
}

func (s *session) startsTable(starts []lateen.StartState) {
	if len(starts) == 0 {
		return
	}
	rows := make([][]string, 0, len(starts))
	for _, t := range starts {
		rows = append(rows, []string{string(t.Kind), strconv.FormatInt(t.Count, 10), terminal.Precise(t.P50), terminal.Precise(t.P99)})
	}
	s.Term.Answer("\n" + terminal.Paint(terminal.Bold, "Time to first byte by kind of start") + "\n")
	s.Term.Table([]terminal.Column{{Title: "start"}, {Title: "requests", Right: true}, {Title: "p50", Right: true}, {Title: "p99", Right: true}}, rows)
}

// completeFunctions completes the names of functions.
func (s *session) completeFunctions(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.Complete(c, prefix, func(ctx context.Context, _ *client.Client) ([]string, error) {
		on, err := s.Here(ctx)
		if err != nil {
			return nil, err
		}
		functions, err := on.Client.Functions(ctx, string(on.Project.ID))
		if err != nil {
			return nil, err
		}
		var names []string
		for i := range functions {
			names = append(names, functions[i].Function)
		}
		return slices.Compact(names), nil
	})
}
