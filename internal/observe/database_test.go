package observe_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/observe"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

func TestOpenMovesAnUnusableDatabaseAside(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, path string){
		"text": func(t *testing.T, path string) {
			write(t, path, strings.Repeat("no database\n", 1000))
		},
		"a header and nothing else": func(t *testing.T, path string) {
			write(t, path, "SQLite format 3\x00"+strings.Repeat("\xff", 5000))
		},
		"another program's": func(t *testing.T, path string) {
			execute(t, path, `CREATE TABLE theirs (a)`)
		},
		"another version's": func(t *testing.T, path string) {
			execute(t, path, `PRAGMA user_version = 999`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "logs.db")
				prepare(t, path)
				before, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				write(t, path+".aside", "an earlier one")
				var out bytes.Buffer
				l, _ := start(t, observe.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&out, nil))})
				l.Record(lateen.Record{ID: "req_1", Time: now()})
				settle()
				if got := query(t, l, observe.Query{}); len(got) != 1 {
					t.Errorf("%d entries in the new database", len(got))
				}
				if !strings.Contains(out.String(), "level=WARN") || !strings.Contains(out.String(), path+".aside") {
					t.Errorf("the warning is %q", out.String())
				}
				if after, err := os.ReadFile(path + ".aside"); err != nil || len(after) != len(before) {
					t.Errorf("the previous file was not moved aside: %v", err)
				}
			})
		})
	}
}

func TestOpenFailsWhereItCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	if l, err := observe.Open(t.Context(), observe.Options{Dir: filepath.Join(file, "logs")}); err == nil {
		l.Close()
		t.Error("it opened")
	}
}

func TestADatabaseDamagedAtRunTimeIsMovedAside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		l, _ := start(t, observe.Options{Dir: dir})
		for i := range 3000 {
			l.Record(lateen.Record{ID: lateen.RequestID(strings.Repeat("x", i)), Time: now()})
		}
		settle()
		damage(t, filepath.Join(dir, "logs.db"))
		for range 50 {
			l.Record(lateen.Record{ID: lateen.NewID[lateen.RequestID]("req_", time.Now()), Time: now()})
			settle()
		}
		if got, _, err := l.Query(t.Context(), observe.Query{}); err != nil || len(got) == 0 {
			t.Errorf("%d entries, %v", len(got), err)
		}
		if _, err := os.Stat(filepath.Join(dir, "logs.db.aside")); err != nil {
			t.Error(err)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, path, query string) {
	t.Helper()
	f, err := sqlite.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// damage overwrites the whole database, including its WAL.
func damage(t *testing.T, path string) {
	t.Helper()
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(bytes.Repeat([]byte{0xa5}, int(info.Size())))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
