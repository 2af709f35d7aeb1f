package inspect

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// logView prints requests in columns.
type logView struct {
	term   *terminal.Term
	json   bool
	width  int    // of the terminal; 0 is no bound
	layout string // of times
	margin string // of lines that belong to the line above, below its time
	paths  int    // width of the paths
	kinds  int    // width of the kinds; 0 leaves them out
	usage  bool   // also the resource usage of functions
}

// narrow is the terminal width below which columns are dropped.
const narrow = 84

func (s *session) newLogView(usage bool) *logView {
	v := &logView{term: s.Term, json: s.Flags.JSON, width: s.Term.AnswerWidth(), layout: "15:04:05.000", kinds: 10, paths: 30, usage: usage}
	switch {
	case v.width == 0:
	case v.width < narrow:
		v.layout, v.kinds, v.paths = "15:04:05", 0, max(v.width-44, 10)
	default:
		v.paths = min(v.width-62, 40)
	}
	v.margin = strings.Repeat(" ", len(v.layout)) + "  " + terminal.Paint(terminal.Dim, "│") + " "
	return v
}

// entry prints a request with the lines that user code wrote during it.
func (v *logView) entry(e *client.Entry) error {
	if v.json {
		return v.term.JSONLine(e)
	}
	if e.Lost > 0 {
		v.term.Warnf("%s skipped: removed from the log before they were sent.", terminal.Count(e.Lost, "request"))
	}
	if e.Method != "" {
		line, why := v.requestLine(e), whyText(e)
		if v.usage {
			why = strings.TrimLeft(why+"  "+usageText(e), " ")
		}
		if beside := line + "  " + why; v.width == 0 || ansi.StringWidth(beside) <= v.width {
			line, why = strings.TrimRight(beside, " "), ""
		}
		v.term.Answer(terminal.Cut(line, v.width))
		if why != "" {
			v.term.Answer(terminal.Cut(v.margin+why, v.width))
		}
	}
	for _, l := range e.Lines {
		for _, text := range terminal.CleanLines(l.Text) {
			v.term.Answer(v.consoleLine(e, &l, text))
		}
	}
	return nil
}

// at formats a time for the margin.
func (v *logView) at(at lateen.Millis) string {
	return terminal.Paint(terminal.Dim, at.Time().Local().Format(v.layout)) //nolint:gosmopolitan // people mean their own time
}

// requestLine describes a request: time, status, method, path, kind of output, cache
// state or kind of start, and duration.
func (v *logView) requestLine(e *client.Entry) string {
	cells := []string{v.at(e.Time), statusText(e.Status), terminal.Pad(terminal.Clean(e.Method), 4, false), terminal.Pad(terminal.Cut(terminal.Clean(e.Path), v.paths), v.paths, false)}
	if v.kinds > 0 {
		cells = append(cells, terminal.Pad(terminal.Clean(e.Kind), v.kinds, false))
	}
	return strings.Join(append(cells, terminal.Pad(servedText(e), 11, false), terminal.Pad(terminal.Precise(e.Duration), 7, true)), "  ")
}

// consoleLine is a line of user code below its request, or with its own time if it
// belongs to no request.
func (v *logView) consoleLine(e *client.Entry, l *lateen.LogLine, text string) string {
	start := v.margin
	if e.Method == "" {
		start = v.at(l.Time) + v.margin[len(v.layout):]
	}
	text = command.PaintLevel(l.Level, text)
	if room := v.width - ansi.StringWidth(v.margin); v.width > 0 && room > 20 {
		text = strings.ReplaceAll(ansi.Hardwrap(text, room, true), "\n", "\n"+v.margin)
	}
	if l.Truncated {
		text += terminal.Paint(terminal.Dim, " …")
	}
	return start + text
}

// statusText is a status in the colour of its class.
func statusText(status int) string {
	text := fmt.Sprintf("%3d", status)
	switch {
	case status >= 500:
		return terminal.Paint(terminal.Bad, text)
	case status == 499: // the client went away
		return terminal.Paint(terminal.Dim, text)
	case status >= 400:
		return terminal.Paint(terminal.Warn, text)
	case status >= 300:
		return terminal.Paint(terminal.Code, text)
	}
	return terminal.Paint(terminal.Good, text)
}

// servedText is the cache state and the kind of start.
func servedText(e *client.Entry) string {
	var words []string
	switch e.Cache {
	case "":
	case "HIT", "PRERENDER":
		words = append(words, terminal.Paint(terminal.Good, e.Cache))
	case "STALE", "REVALIDATED":
		words = append(words, terminal.Paint(terminal.Warn, e.Cache))
	default:
		words = append(words, terminal.Clean(e.Cache))
	}
	if inv := invocation(e); inv != nil && inv.Start != "" {
		start := string(inv.Start)
		if inv.Start == lateen.StartCold {
			start = terminal.Paint(terminal.Warn, start)
		}
		words = append(words, start)
	}
	return strings.Join(words, " ")
}

// invocation is the function that answered, or the middleware that did.
func invocation(e *client.Entry) *lateen.Invocation {
	if e.Invocation == nil && e.Kind == "middleware" {
		return e.Middleware
	}
	return e.Invocation
}

// shortest is the shortest phase that is shown: [terminal.Precise] rounds less to 0.
const shortest = 50 * time.Microsecond

// whyText describes the phases of a start, and its failures.
func whyText(e *client.Entry) string {
	var words []string
	if e.Error != "" {
		words = append(words, terminal.Paint(terminal.Bad, terminal.Clean(e.Error)))
	}
	if inv := invocation(e); inv != nil && (inv.Start != lateen.StartWarm || inv.Queue >= time.Millisecond) {
		for _, phase := range []struct {
			name string
			took string
			is   bool
		}{
			{"queue", terminal.Precise(inv.Queue), inv.Queue >= time.Millisecond},
			{"claim", terminal.Precise(inv.Claim), inv.Claim >= shortest},
			{"load", terminal.Precise(inv.Load), inv.Load >= shortest},
			{"handler", terminal.Precise(inv.Handler), inv.Handler >= shortest},
		} {
			if phase.is {
				words = append(words, terminal.Paint(terminal.Dim, phase.name+" "+phase.took))
			}
		}
		if inv.Retried {
			words = append(words, terminal.Paint(terminal.Warn, "retried"))
		}
	}
	if e.Status >= 500 && e.ID != "" {
		words = append(words, terminal.Paint(terminal.Dim, string(e.ID)))
	}
	return strings.Join(words, "  ")
}

// usageText describes the measured resource usage of a function and the hosts that its
// instance connected to during the request.
func usageText(e *client.Entry) string {
	inv := invocation(e)
	if inv == nil {
		return ""
	}
	var words []string
	if inv.CPU > 0 {
		words = append(words, "cpu "+terminal.Precise(inv.CPU))
	}
	if inv.Memory > 0 {
		words = append(words, "memory "+terminal.Amount(inv.Memory))
	}
	for _, to := range inv.Outbound {
		words = append(words, fmt.Sprintf("→ %s ×%d", terminal.Clean(to.Host), to.Count))
	}
	for i, word := range words {
		words[i] = terminal.Paint(terminal.Dim, word)
	}
	return strings.Join(words, "  ")
}
