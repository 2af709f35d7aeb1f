package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
	"github.com/lateen-dev/lateen/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		path := filepath.Join(t.TempDir(), "lateen & 100%?.db#1")
		return func(t *testing.T) (*store.Store, error) { return sqlite.Open(t.Context(), path) }
	})
}

func TestNoStatementScansAGrowingTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lateen.db")
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	file, err := sqlite.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// "SCAN t" reads all of t, "SEARCH t" uses an index; see
	// https://www.sqlite.org/eqp.html. A scan of a partial index is intended.
	storetest.Plans(t, s, file.Write, "EXPLAIN QUERY PLAN ", func(plan string) (whole []string) {
		for line := range strings.Lines(plan) {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "SCAN" || !slices.Contains(storetest.Growing(), words[1]) {
				continue
			}
			if strings.Contains(line, "deployments_un") {
				continue
			}
			whole = append(whole, words[1])
		}
		return whole
	})
}

func BenchmarkStore(b *testing.B) {
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "lateen.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	storetest.Benchmark(b, s)
}

func TestOpenKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "lateen.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.PutSetting(t.Context(), "key", "value"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	if err := os.WriteFile(foreign, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		foreign: "not a database",
		filepath.Join(t.TempDir(), "none", "lateen.db"): "no such file or directory",
		newerDatabase(t): "start a newer one",
	} {
		s, err := sqlite.Open(t.Context(), path)
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", path)
		} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error does not contain %q and the path: %v", path, want, err)
		}
	}
	if got, err := os.ReadFile(foreign); err != nil || !strings.HasPrefix(string(got), "this is no database") {
		t.Errorf("the foreign file was changed: %v", err)
	}
}

// newerDatabase returns a database migrated by a later version.
func newerDatabase(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "newer.db")
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := sqlite.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)`); err != nil {
		t.Fatal(err)
	}
	return path
}

// olderDatabase returns a database without the migrations from before on, in which
// statements have been executed.
func olderDatabase(t *testing.T, before int64, statements ...string) string {
	t.Helper()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "older.db")
	f, err := sqlite.OpenFile(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var later []int64
	for version := before; version < 1000; version += 10 {
		later = append(later, version)
	}
	if err := store.Migrate(ctx, f.Write, goose.DialectSQLite3, goose.WithExcludeVersions(later)); err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := f.Write.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestUsageIsKeptWhenFailedStartsBecomePartOfIt(t *testing.T) {
	path := olderDatabase(t, 110, `INSERT INTO usage_hours (project_id, hour, deployment_id, function, team_id,
		starting_time, starting_memory, starting_cpu, busy_time, busy_memory, busy_cpu, idle_time, idle_memory, idle_cpu,
		frozen_time, frozen_memory, frozen_cpu) VALUES ('prj_1', 1, 'dpl_1', '/a', 'team_1', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)`)
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	more := lateen.UsageHour{Team: "team_1", Project: "prj_1", Deployment: "dpl_1", Function: "/a", Hour: 1, Usage: lateen.Usage{Failed: lateen.StateUsage{Time: 13}}}
	if err := s.AddUsage(t.Context(), store.UsageBatch{Writer: "w", Serial: 1, Rows: []lateen.UsageHour{more}}); err != nil {
		t.Fatal(err)
	}
	want := lateen.Usage{
		Starting: lateen.StateUsage{Time: 1, Memory: 2, CPU: 3}, Busy: lateen.StateUsage{Time: 4, Memory: 5, CPU: 6},
		Idle: lateen.StateUsage{Time: 7, Memory: 8, CPU: 9}, Frozen: lateen.StateUsage{Time: 10, Memory: 11, CPU: 12},
		Failed: lateen.StateUsage{Time: 13},
	}
	rows, err := s.ListUsage(t.Context(), store.UsageFilter{Team: "team_1"})
	if err != nil || len(rows) != 1 || rows[0].Usage != want {
		t.Errorf("the usage is %+v, %v", rows, err)
	}
}

func TestProjectsKeepTheirNamesWhenNamesBecomeUniqueByTeam(t *testing.T) {
	ctx, path := t.Context(), olderDatabase(t, 100,
		`INSERT INTO teams (id, slug, name, created_at) VALUES ('team_1', 'one', 'One', 1), ('team_2', 'two', 'Two', 1)`,
		`INSERT INTO projects (id, team_id, name, created_at, updated_at, settings, pinned, alias_request)
			VALUES ('prj_1', 'team_1', 'shop', 1, 1, '{}', FALSE, 'null')`,
		`INSERT INTO env_vars (id, project_id, key, value, type, git_branch, comment, created_at, updated_at)
			VALUES ('env_1', 'prj_1', 'KEY', x'00', 'plain', '', '', 1, 1)`)
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := s.GetProject(ctx, "team_1", "shop")
	if err != nil || p.ID != "prj_1" || p.Name != "shop" {
		t.Errorf("the project is %+v, %v", p, err)
	}
	if vars, err := s.ListEnv(ctx, "prj_1"); err != nil || len(vars) != 1 {
		t.Errorf("the project has the variables %v, %v", vars, err)
	}
	if err := s.CreateProject(ctx, &lateen.Project{ID: "prj_2", Team: "team_1", Name: "shop"}); !errors.Is(err, lateen.ErrProjectTaken) {
		t.Errorf("a second project of the name: %v", err)
	}
	if err := s.CreateProject(ctx, &lateen.Project{ID: "prj_2", Team: "team_2", Name: "shop"}); err != nil {
		t.Errorf("another team's project of the name: %v", err)
	}
}

func TestOpenFile(t *testing.T) {
	f, err := sqlite.OpenFile(t.Context(), filepath.Join(t.TempDir(), "any.db"), "_synchronous=NORMAL")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "1"} {
		var got string
		if err := f.Write.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q: %v", pragma, got, want, err)
		}
	}
	if _, err := f.Read.ExecContext(t.Context(), "CREATE TABLE t (a)"); err == nil {
		t.Error("a reader could write")
	}
}

// A store that grew without statistics has them after it is reopened, and after
// Optimize.
func TestTheStoreHasStatistics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lateen.db")
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	file, err := sqlite.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	statistics := func() (n int) {
		if err := file.Read.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'settings'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 100 {
		if err := s.PutSetting(t.Context(), strconv.Itoa(i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Optimize(t.Context()); err != nil {
		t.Fatal(err)
	}
	if statistics() == 0 {
		t.Error("Optimize made no statistics of a table that has grown")
	}
	if _, err := file.Write.ExecContext(t.Context(), `DELETE FROM sqlite_stat1`); err != nil {
		t.Fatal(err)
	}
	again, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if statistics() == 0 {
		t.Error("opening made no statistics")
	}
}
