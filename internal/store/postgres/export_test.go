package postgres

import "net"

// Conn returns the connection that has the lock. It must not be called during Run.
func (h *Lock) Conn() net.Conn { return h.conn.PgConn().Conn() }
