// Package postgrestest creates PostgreSQL databases for tests.
package postgrestest

import (
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"github.com/lateen-dev/lateen"
)

// NewDatabase creates an empty database on the server of LATEEN_TEST_POSTGRES and
// returns its URL. Without a server it skips the test.
func NewDatabase(t testing.TB) string {
	t.Helper()
	server := os.Getenv("LATEEN_TEST_POSTGRES")
	if server == "" {
		t.Skip("LATEEN_TEST_POSTGRES names no server: run `scripts/postgres.sh run go test PACKAGE`")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	name := strings.ToLower(lateen.NewID[string]("test_", time.Now()))
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	return address.String()
}
