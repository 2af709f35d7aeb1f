package sqlite_test

import (
	"path/filepath"
	"testing"

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
