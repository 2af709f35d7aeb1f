package process

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

func TestTheTailOfTheOutputIsItsEnd(t *testing.T) {
	var o Output
	for n := range 10_000 {
		o.Log(lateen.LogLine{Text: fmt.Sprintf("line %d", n)})
	}
	if words := o.LastOutput(); len(words) > maxTailBytes+2 || !strings.HasSuffix(words, "line 9998\nline 9999") {
		t.Errorf("%d bytes that end in %q", len(words), words[max(len(words)-40, 0):])
	}
}

func TestLinesThatBypassTheAgentAreBounded(t *testing.T) {
	logs := &enginetest.Logs{}
	o := Output{sink: logs}
	o.Assign(lateen.LogLine{Instance: "ins_1"})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.copy(r, lateen.LevelError)
	}()
	io.WriteString(w, "short\n"+strings.Repeat("x", maxLine+10)+"\n\nlast")
	w.Close()
	<-done
	var got []string
	for _, line := range logs.Lines() {
		got = append(got, fmt.Sprintf("%s %d %v", line.Level, len(line.Text), line.Truncated))
	}
	want := []string{"error 5 false", fmt.Sprintf("error %d true", maxLine), "error 10 false", "error 4 false"}
	if !slices.Equal(got, want) {
		t.Errorf("lines: %v, want %v", got, want)
	}
}

// A descendant of an exited process may hold the pipe open, and a busy host may read
// late: the engine still reads the output of the process, up to the capacity of a
// pipe (64 KiB, pipe(7)), and does not wait for more.
func TestTheOutputOfAnExitedProcessIsReadWholeWithoutWaitingForMore(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close() // the descendant's end
	if _, err := w.WriteString(strings.Repeat("line\n", 10) + "the last words"); err != nil {
		t.Fatal(err)
	}
	(&handles{stdout: r, stderr: r}).endOutput() // before the reader begins
	o := &Output{}
	o.copy(r, "info")
	if words := o.LastOutput(); !strings.HasSuffix(words, "line\nthe last words") || strings.Count(words, "line") != 10 {
		t.Errorf("tail: %q", words)
	}
}
