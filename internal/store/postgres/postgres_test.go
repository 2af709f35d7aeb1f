package postgres_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/postgres"
	"github.com/lateen-dev/lateen/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		dsn := newSchema(t)
		return func(t *testing.T) (*store.Store, error) { return postgres.Open(t.Context(), dsn) }
	})
}

func TestNoStatementScansAGrowingTable(t *testing.T) {
	dsn := newSchema(t)
	s, err := postgres.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	storetest.Plans(t, s, db, "EXPLAIN ", func(plan string) (whole []string) {
		for _, table := range storetest.Growing() {
			if strings.Contains(plan, "Seq Scan on "+table+" ") {
				whole = append(whole, table)
			}
		}
		return whole
	})
}

func BenchmarkStore(b *testing.B) {
	s, err := postgres.Open(b.Context(), newSchema(b))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	storetest.Benchmark(b, s)
}

// newSchema creates an empty schema and returns its address.
func newSchema(t testing.TB) (dsn string) {
	t.Helper()
	server := os.Getenv("LATEEN_TEST_POSTGRES")
	if server == "" {
		t.Skip("LATEEN_TEST_POSTGRES names no server: scripts/postgres.sh run go test ./internal/store/...")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	schema := lateen.NewID[string]("test_", time.Now())
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP SCHEMA " + schema + " CASCADE"); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(fmt.Errorf("LATEEN_TEST_POSTGRES is not a URL: %w", err))
	}
	query := address.Query()
	query.Set("search_path", schema)
	address.RawQuery = query.Encode()
	return address.String()
}

func TestOpenFails(t *testing.T) {
	for _, dsn := range []string{
		"postgres://ada:hunter2@127.0.0.1:1/lateen?connect_timeout=1", // no listener
		"postgres://ada:hunter2@127.0.0.1:port/lateen",
		"host=127.0.0.1 password=hunter2 port=port",
	} {
		s, err := postgres.Open(t.Context(), dsn)
		if err == nil {
			s.Close()
			t.Fatalf("%s: opened", dsn)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}
