//go:build linux && e2e

package hostile_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// transcript is the output of a test program with -test.v.
type transcript struct {
	names    []string          // of the tests, as they began
	verdicts map[string]string // PASS, FAIL, SKIP; none of a test that did not end
	took     map[string]string
	said     map[string][]string
}

// transcribe sorts the output of a test program by test.
func transcribe(out string) *transcript {
	s := &transcript{verdicts: map[string]string{}, took: map[string]string{}, said: map[string][]string{}}
	turn, verdict := regexp.MustCompile(`^=== (RUN|NAME|CONT|PAUSE) +(\S*)$`), regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \((.*)\)$`)
	current := ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if m := turn.FindStringSubmatch(line); m != nil {
			if current = m[2]; m[1] == "RUN" {
				s.names = append(s.names, current)
			}
		} else if m := verdict.FindStringSubmatch(line); m != nil {
			s.verdicts[m[2]], s.took[m[2]] = m[1], m[3]
		} else {
			s.said[current] = append(s.said[current], line)
		}
	}
	return s
}

// table is the result and the duration of each test.
func (s *transcript) table() string {
	var b strings.Builder
	for _, name := range s.names {
		fmt.Fprintf(&b, "\n%4s %8s %s", s.verdicts[name], s.took[name], name)
		if s.verdicts[name] == "SKIP" {
			fmt.Fprintf(&b, ":%s", strings.Join(s.said[name], " "))
		}
	}
	return b.String()
}

// failed lists the tests that failed or did not end, without those whose parts
// did.
func (s *transcript) failed() []string {
	var failed []string
	for _, name := range slices.Backward(s.names) {
		isBad := s.verdicts[name] != "PASS" && s.verdicts[name] != "SKIP"
		if isBad && !slices.ContainsFunc(failed, func(part string) bool { return strings.HasPrefix(part, name+"/") }) {
			failed = append(failed, name)
		}
	}
	slices.Reverse(failed)
	return failed
}

// words is the beginning and the end of a test's output.
func (s *transcript) words(name string) string {
	const most = 60
	said := s.said[name]
	if left := len(said) - 2*most; left > 0 {
		said = slices.Concat(said[:most], []string{fmt.Sprintf("… %d lines …", left)}, said[len(said)-most:])
	}
	return strings.Join(said, "\n")
}

func TestATranscriptContainsFailedTestsAndTheirMessages(t *testing.T) {
	s := transcribe(`=== RUN   TestA
=== RUN   TestA/one
    a_test.go:1: of one
=== RUN   TestA/two
    a_test.go:2: of two
=== NAME  TestA
    of all
=== NAME  TestA/two
    a_test.go:3: of two again
--- FAIL: TestA (1.00s)
    --- SKIP: TestA/one (0.00s)
    --- FAIL: TestA/two (0.50s)
=== RUN   TestB
=== RUN   TestB/one
panic: oh
`)
	if diff := cmp.Diff([]string{"TestA/two", "TestB/one"}, s.failed()); diff != "" {
		t.Error(diff)
	}
	if got, want := s.words("TestA/two"), "    a_test.go:2: of two\n    a_test.go:3: of two again"; got != want {
		t.Errorf("it said %q, want %q", got, want)
	}
	if got := s.words("TestB/one"); got != "panic: oh" {
		t.Errorf("the last one said %q", got)
	}
	const table = `
FAIL    1.00s TestA
SKIP    0.00s TestA/one:    a_test.go:1: of one
FAIL    0.50s TestA/two
              TestB
              TestB/one`
	if diff := cmp.Diff(table, s.table()); diff != "" {
		t.Error(diff)
	}
	s.said["TestB"] = make([]string, 1000)
	if got := strings.Count(s.words("TestB"), "\n"); got != 120 {
		t.Errorf("%d lines of a thousand", got)
	}
}
