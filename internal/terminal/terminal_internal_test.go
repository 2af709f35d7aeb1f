package terminal

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
)

// screen is a terminal that implements the sequences of the commands: lines, the
// return to a line's start, clearing to its end.
func screen(output string) []string {
	lines := []string{""}
	column := 0
	for i := 0; i < len(output); {
		seq, _, n, _ := ansi.DecodeSequence(output[i:], 0, nil)
		i += n
		last := &lines[len(lines)-1]
		switch {
		case seq == "\r":
			column = 0
		case seq == "\n":
			lines, column = append(lines, ""), 0
		case seq == "\x1b[K":
			*last = string([]rune(*last)[:min(column, len([]rune(*last)))])
		case strings.HasPrefix(seq, "\x1b"):
		default:
			cells := []rune(*last)
			*last = string(append(cells[:min(column, len(cells))], []rune(seq)...))
			if column+1 < len(cells) {
				*last += string(cells[column+1:])
			}
			column++
		}
	}
	return lines
}

// tape records written text.
type tape struct {
	mu   sync.Mutex // guards below
	text strings.Builder
}

// Write implements [io.Writer].
func (p *tape) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *tape) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// terminalTerm is a Term on a terminal of some width, with its output.
func terminalTerm(width int, color bool) (*Term, *tape) {
	var out tape
	s := stream{Writer: &out, fd: 1, color: color, width: func() int { return width }}
	return &Term{stdin: -1, stdout: s, stderr: s, now: time.Now}, &out
}

func TestALiveLineStaysBelowTheOutputAndLeavesASummary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		term, out := terminalTerm(70, true)
		live := term.Live("Uploading")
		live.Set(50, 100, "1/2 files")
		time.Sleep(1250 * time.Millisecond)
		synctest.Wait()
		term.Linef("a line")
		want := []string{"a line", "⠹ Uploading  ━━━━━━━━━━━━━━──────────────  1/2 files  1.2s"}
		if diff := cmp.Diff(want, screen(out.String())); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Second)
		live.Finish("Uploaded %d files", 2)
		term.Linef("after")
		want = []string{"a line", "✓ Uploaded 2 files 2.2s", "after", ""}
		if diff := cmp.Diff(want, screen(out.String())); diff != "" {
			t.Error(diff)
		}
		before := len(out.String())
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(out.String()) != before {
			t.Error("a line that was finished is still drawn")
		}
		live.Stop()
		(*Live)(nil).Stop()
	})
}

func TestALiveLineIsNeverWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	term, _ := terminalTerm(80, true)
	l := &Live{term: term, since: time.Now(), label: "Uploading the files of a deployment", note: "100/200 files  10 MB of 20 MB", done: 1, total: 2}
	for width := 24; width < 120; width++ {
		if got := ansi.StringWidth(l.text(width)); got >= width {
			t.Errorf("in %d columns the line has %d", width, got)
		}
	}
	l.done = 5 // more than there is: a file grew
	if got := ansi.Strip(l.text(120)); !strings.Contains(got, strings.Repeat("━", barWidth)+"  ") {
		t.Errorf("a bar beyond its end is %q", got)
	}
}

func TestWithoutATerminalLinesAreComplete(t *testing.T) {
	t.Parallel()
	var out, errs strings.Builder
	term := NewTerm(nil, &out, &errs, func(string) string { return "" }, func() time.Time { return time.Unix(0, 0) })
	live := term.Live("Uploading")
	live.Set(1, 2, "half")
	live.Finish("Uploaded %s", Paint(Bold, "it"))
	term.Hintf("say `lateen ls`")
	term.Answer(Paint(Code, "http://x"))
	if want := "Uploading…\n✓ Uploaded it 0ms\nHint:  say `lateen ls`\n"; errs.String() != want {
		t.Errorf("standard error has %q, want %q", errs.String(), want)
	}
	if out.String() != "http://x\n" {
		t.Errorf("standard output has %q", out.String())
	}
}

func TestColourIsForTerminalsThatWantIt(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		env      string
		terminal bool
		want     bool
	}{
		{"", true, true},
		{"", false, false},
		{"NO_COLOR=1", true, false},
		{"NO_COLOR=yes", true, false},
		{"TERM=dumb", true, false},
		{"CLICOLOR=0", true, false},
		{"CLICOLOR_FORCE=1", false, true},
		{"CLICOLOR_FORCE=0", false, false},
	} {
		name, value, _ := strings.Cut(row.env, "=")
		got := colorful(row.terminal, func(key string) string {
			if key == name {
				return value
			}
			return ""
		})
		if got != row.want {
			t.Errorf("%q on a terminal (%v): %v", row.env, row.terminal, got)
		}
	}
}

func TestTextFromElsewhereCannotMoveTheCursor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain äö 日本":                               "plain äö 日本",
		"\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J": "red",
		"over\rwrite\x08\x7f":                       "overwrite",
		"two\nlines\tand":                           "two lines and",
		"\u009b31mc1":                               "31mc1",
	} {
		if got := Clean(text); got != want {
			t.Errorf("clean(%q) is %q, want %q", text, got, want)
		}
	}
	if diff := cmp.Diff([]string{"a", "    b", "", "c"}, CleanLines("a\r\n\tb\n\n\x1b[Hc\n")); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsWrapBesideTheirLabel(t *testing.T) {
	t.Parallel()
	term, out := terminalTerm(30, false)
	term.Errorf("the quick brown fox jumps over the lazy dog")
	want := "Error: the quick brown fox\n       jumps over the lazy dog\n"
	if out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestTablesFitTheTerminal(t *testing.T) {
	t.Parallel()
	columns := []Column{{Title: "age", Right: true}, {Title: "url"}, {Title: "branch", Drop: 1}, {Title: "by", Drop: 2}}
	rows := [][]string{{"1s", Paint(Code, "http://a-long-host.localhost"), "main", "ada"}, {"12m", "http://b.localhost", "", "bob"}}
	for width, want := range map[int]string{
		0: "age   url                            branch   by\n" +
			" 1s   http://a-long-host.localhost   main     ada\n" +
			"12m   http://b.localhost                      bob\n",
		45: "age   url                            branch\n" +
			" 1s   http://a-long-host.localhost   main\n" +
			"12m   http://b.localhost\n",
		36: "age   url\n" +
			" 1s   http://a-long-host.localhost\n" +
			"12m   http://b.localhost\n",
		24: "age   url\n" +
			" 1s   http://a-long-hos…\n" +
			"12m   http://b.localhost\n",
	} {
		if diff := cmp.Diff(want, ansi.Strip(layOut(columns, rows, width))); diff != "" {
			t.Errorf("in %d columns:\n%s", width, diff)
		}
	}
	empty := ansi.Strip(layOut(columns, [][]string{{"1s", "u", "", ""}}, 0))
	if want := "age   url\n 1s   u\n"; empty != want {
		t.Errorf("columns without a value: %q, want %q", empty, want)
	}
}

func TestNumbersAreFormattedForReading(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0ms", 850 * time.Millisecond: "850ms", 3200 * time.Millisecond: "3.2s",
		4*time.Minute + 10*time.Second: "4m 10s", 2*time.Hour + 5*time.Minute: "2h 5m", 72 * time.Hour: "3d",
	} {
		if got := Elapsed(d); got != want {
			t.Errorf("elapsed(%s) is %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0ms", 440 * time.Microsecond: "0.4ms", 12340 * time.Microsecond: "12.3ms", 99960 * time.Microsecond: "100ms", 340 * time.Millisecond: "340ms", 1250 * time.Millisecond: "1.25s",
	} {
		if got := Precise(d); got != want {
			t.Errorf("precise(%s) is %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 12345: "12.3 kB", 999_960: "1.0 MB", 5_200_000_000: "5.2 GB"} {
		if got := Amount(n); got != want {
			t.Errorf("amount(%d) is %s, want %s", n, got, want)
		}
	}
}

// ECMA-48 has U+0080 to U+009F as control characters; U+009B alone begins a
// sequence as ESC [ does. JSON (RFC 8259, section 7) allows them raw, and escaped.
func TestJSONHasNoRawControlCharacters(t *testing.T) {
	term, out := terminalTerm(80, false)
	text := "a\u009b31mred\u007f\u0085ü"
	if err := term.JSON(map[string]string{"text": text}); err != nil {
		t.Fatal(err)
	}
	if err := term.JSONLine(text); err != nil {
		t.Fatal(err)
	}
	term.ErrJSON(text)
	if strings.ContainsFunc(out.String(), func(r rune) bool { return r >= 0x7f && r <= 0x9f }) {
		t.Errorf("the output is %q", out.String())
	}
	for line := range strings.Lines(out.String()) {
		var got string
		if strings.HasPrefix(line, `"`) && (json.Unmarshal([]byte(line), &got) != nil || got != text) {
			t.Errorf("%q reads as %q", line, got)
		}
	}
}
