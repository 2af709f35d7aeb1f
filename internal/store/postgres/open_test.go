package postgres_test

import (
	"testing"

	"github.com/lateen-dev/lateen/internal/store/postgres"
)

func TestTheErrorOfADatabaseThatCannotBeOpenedIsOneLine(t *testing.T) {
	const dsn, want = "postgres://someone:secret@127.0.0.1:1/shop", "open database shop on 127.0.0.1: dial tcp 127.0.0.1:1: connect: connection refused"
	if _, err := postgres.View(t.Context(), dsn); err == nil || err.Error() != want {
		t.Errorf("View: got %q, want %q", err, want)
	}
	if _, err := postgres.Acquire(t.Context(), dsn); err == nil || err.Error() != want {
		t.Errorf("Acquire: got %q, want %q", err, want)
	}
}
