package guest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMessagesSurviveARoundTrip(t *testing.T) {
	var wire bytes.Buffer
	long := Log{Message: []byte(strings.Repeat("long \x00 line\n", 5_000)), Level: "info", Context: Context{"req_1", 7}}
	sent := []any{Unrecoverable{1, "ends with a NUL: \x00"}, long, End{Context{"req_2", 1 << 62}, &Fault{FaultFailed, "no"}, nil}}
	for _, payload := range sent {
		if err := Write(&wire, "x", payload); err != nil {
			t.Fatal(err)
		}
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(wire.Bytes()), "in pieces": iotest.HalfReader(bytes.NewReader(wire.Bytes()))} {
		t.Run(name, func(t *testing.T) {
			messages := NewReader(r)
			var u Unrecoverable
			var l Log
			var e End
			for _, into := range []any{&u, &l, &e} {
				m, err := messages.Next()
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Into(into); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(sent, []any{u, l, e}); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if _, err := messages.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v, want io.EOF", err)
			}
		})
	}
}

func TestHostileStreamsEndInAnError(t *testing.T) {
	for name, c := range map[string]struct {
		wire io.Reader
		want error
	}{
		"endless":   {endless{}, errTooLong},
		"cut short": {strings.NewReader(`{"type":"lo`), io.ErrUnexpectedEOF},
		"not JSON":  {strings.NewReader("hello\x00"), nil},
		"a list":    {strings.NewReader("[1]\x00"), nil},
		"empty":     {strings.NewReader("\x00"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewReader(c.wire).Next()
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestGraceOfAPurge(t *testing.T) {
	for payload, want := range map[string]time.Duration{
		`{"tags":["a"]}`: -1, `{"tags":["a"],"expire":null}`: -1, `{"expire":0}`: 0, `{"expire":-1}`: 0,
		`{"expire":1.5}`: 1500 * time.Millisecond, `{"expire":1e300}`: 100 * 365 * 24 * time.Hour,
	} {
		var p Purge
		if err := (Message{Payload: []byte(payload)}).Into(&p); err != nil {
			t.Fatal(err)
		}
		if got := p.Grace(); got != want {
			t.Errorf("%s: grace %v, want %v", payload, got, want)
		}
	}
}

// endless is a message that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestInstallIsReadableByOthersAndRepeatable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "guests")
	first, err := InstallNode(dir, &Platform{Domain: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := InstallNode(dir, &Platform{Domain: "localhost"})
	if err != nil || first != second {
		t.Fatalf("the second installation is at %s (%v), the first at %s", second, err, first)
	}
	for _, path := range []string{first, filepath.Dir(first)} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o044 != 0o044 {
			t.Errorf("%s: %v, %v: other users cannot read it", path, info.Mode(), err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v is in the directory, want the agent alone", entries)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("{\"type\":\"log\",\"payload\":{\"message\":\"eA==\"}}\x00"))
	f.Add([]byte("{\"type\":\"end\",\"payload\":{\"context\":{\"requestId\":-1}}}\x00{}\x00"))
	f.Add([]byte("\x00\x00{"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		messages := NewReader(bytes.NewReader(wire))
		for range len(wire) + 1 {
			m, err := messages.Next()
			if err != nil {
				return
			}
			for _, into := range []any{&Log{}, &End{}, &Unrecoverable{}, &ServerStarted{}} {
				m.Into(into)
			}
		}
		t.Error("more messages than bytes")
	})
}

func TestDelaysAreLimitedToPossibleValues(t *testing.T) {
	for text, want := range map[string]struct {
		ticks float64
		late  time.Duration
	}{
		`{}`:                                        {},
		`{"delay":null}`:                            {},
		`{"delay":{}}`:                              {},
		`{"delay":{"ticks":-1}}`:                    {},
		`{"delay":{"ticks":0.5}}`:                   {},
		`{"delay":{"ticks":1,"late":-5}}`:           {},
		`{"delay":{"ticks":4,"late":10}}`:           {4, 10 * time.Millisecond},
		`{"delay":{"ticks":1,"late":1e300}}`:        {1, 10 * time.Second},
		`{"delay":{"ticks":1e300,"late":1e300}}`:    {1000, time.Second},
		`{"delay":{"ticks":1e6,"late":25000000.0}}`: {1000, 25 * time.Second},
	} {
		var e End
		if err := (Message{Payload: []byte(text)}).Into(&e); err != nil {
			t.Fatal(err)
		}
		if ticks, late := e.Delay.Believable(); ticks != want.ticks || late != want.late {
			t.Errorf("%s: %v ticks, %s late; want %v, %s", text, ticks, late, want.ticks, want.late)
		}
	}
}
