package command_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

func TestMomentsAreAgoOrThen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s := command.NewSession(command.Process{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Now: func() time.Time { return now }})
	for text, want := range map[string]time.Time{
		"30m": now.Add(-30 * time.Minute), "7d": now.AddDate(0, 0, -7), "0s": now, "2026-01-31T08:00:00Z": time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC),
		"2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.Local), "2026-01-31 08:30": time.Date(2026, 1, 31, 8, 30, 0, 0, time.Local),
	} {
		got, err := s.Moment("--since", text)
		if err != nil || !got.Time().Equal(want) {
			t.Errorf("%s is %s, %v; want %s", text, got.Time(), err, want)
		}
	}
	for _, text := range []string{"-5m", "tuesday", "d", "-1d", "2026-13-01"} {
		if _, err := s.Moment("--since", text); err == nil {
			t.Errorf("%q is taken for a time", text)
		}
	}
}
