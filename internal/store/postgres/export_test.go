package postgres

import (
	"context"
	"net"
	"time"

	"github.com/lateen-dev/lateen/internal/store"
)

// Conn returns the connection that has the lock. It must not be called during Run.
func (h *Lock) Conn() net.Conn { return h.conn.PgConn().Conn() }

// OpenWithin is [Open] with a time limit of transactions and reads.
func OpenWithin(ctx context.Context, dsn string, limit time.Duration) (*store.Store, error) {
	return open(ctx, dsn, limit, migrate)
}
