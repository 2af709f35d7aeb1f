package cli

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

// entry prints a request with the lines it made user code write.
func (s *session) entry(e *client.Entry) error {
	if s.flags.json {
		return s.term.JSONLine(e)
	}
	if e.Lost > 0 {
		s.term.Warnf("%s came too fast to be shown.", count(e.Lost, "request"))
	}
	width := s.term.stdout.width()
	if e.Method != "" {
		line, why := requestLine(e, width), whyText(e)
		if beside := line + "  " + why; width == 0 || ansi.StringWidth(beside) <= width {
			line, why = strings.TrimRight(beside, " "), ""
		}
		s.term.Answer(cut(line, width))
		if why != "" {
			s.term.Answer(cut(margin+why, width))
		}
	}
	for _, l := range e.Lines {
		for _, text := range cleanLines(l.Text) {
			s.term.Answer(consoleLine(e, &l, text, width))
		}
	}
	return nil
}

// The columns of a request's line.
const (
	timeLayout = "15:04:05.000"
	pathWidth  = 30 // where there is no bound

	margin = "              \x1b[2m│\x1b[m " // of what belongs to the line above, beneath its time
)

// requestLine tells how a request was answered: when, status, what was asked,
// by what kind of output, from which cache or start, in what time.
func requestLine(e *client.Entry, width int) string {
	paths := pathWidth
	if width > 0 {
		paths = min(max(width-72, 12), 60)
	}
	path := cut(clean(e.Path), paths)
	line := []string{
		paint(dim, e.Time.Time().Local().Format(timeLayout)),
		statusText(e.Status),
		pad(clean(e.Method), 4, false),
		pad(path, paths, false),
		pad(clean(e.Kind), 10, false),
		pad(servedText(e), 11, false),
		pad(precise(e.Duration), 7, true),
	}
	return strings.Join(line, "  ")
}

// statusText is a status in the colour of its class.
func statusText(status int) string {
	text := fmt.Sprintf("%3d", status)
	switch {
	case status >= 500:
		return paint(bad, text)
	case status == 499: // the client went away
		return paint(dim, text)
	case status >= 400:
		return paint(warn, text)
	case status >= 300:
		return paint(code, text)
	}
	return paint(good, text)
}

// servedText is the state of the cache and how a function was started.
func servedText(e *client.Entry) string {
	var words []string
	switch e.Cache {
	case "":
	case "HIT", "PRERENDER":
		words = append(words, paint(good, e.Cache))
	case "STALE", "REVALIDATED":
		words = append(words, paint(warn, e.Cache))
	default:
		words = append(words, clean(e.Cache))
	}
	if inv := invocation(e); inv != nil && inv.Start != "" {
		start := string(inv.Start)
		if inv.Start == lateen.StartCold {
			start = paint(warn, start)
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

// whyText tells where the time of a start went, and what failed.
func whyText(e *client.Entry) string {
	var words []string
	if e.Error != "" {
		words = append(words, paint(bad, clean(e.Error)))
	}
	if inv := invocation(e); inv != nil && (inv.Start != lateen.StartWarm || inv.Queue > 0) {
		for _, phase := range []struct {
			name string
			took string
			is   bool
		}{
			{"queue", precise(inv.Queue), inv.Queue > 0},
			{"claim", precise(inv.Claim), inv.Claim > 0},
			{"load", precise(inv.Load), inv.Load > 0},
			{"handler", precise(inv.Handler), inv.Handler > 0},
		} {
			if phase.is {
				words = append(words, paint(dim, phase.name+" "+phase.took))
			}
		}
		if inv.Retried {
			words = append(words, paint(warn, "retried"))
		}
	}
	return strings.Join(words, "  ")
}

// consoleLine is a line of user code beneath its request, or with its time
// where it belongs to none.
func consoleLine(e *client.Entry, l *lateen.LogLine, text string, width int) string {
	start := margin
	if e.Method == "" {
		start = paint(dim, l.Time.Time().Local().Format(timeLayout)) + margin[len(timeLayout):]
	}
	text = levelText(l.Level, text)
	if room := width - ansi.StringWidth(margin); width > 0 && room > 20 {
		text = strings.ReplaceAll(ansi.Hardwrap(text, room, true), "\n", "\n"+margin)
	}
	if l.Truncated {
		text += paint(dim, " …")
	}
	return start + text
}
