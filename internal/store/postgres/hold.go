package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrHeld says that another process holds the database.
var ErrHeld = errors.New("another process uses it")

const (
	leftTime = 5 * time.Second  // in which a server notices that a holder has ended
	retry    = time.Second      // between attempts to connect, at least
	unheld   = 10 * time.Second // that one connection attempt may take
)

// Held is a database that one process holds: its connection has an advisory lock.
type Held struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn
	last   session // that asked for the lock
}

// session is a connection as the server knows it. Servers use process ids again.
type session struct {
	pid   int32
	began time.Time
}

// Hold takes the database that dsn names for this process alone, until the result is
// closed or the process ends. Stores are opened beside it. The error is [ErrHeld]
// where another process has it.
func Hold(ctx context.Context, dsn string) (*Held, error) {
	config, err := pgx.ParseConfig(dsn) // its errors hide the password
	if err != nil {
		return nil, fmt.Errorf("read the database's address: %w", err)
	}
	config.RuntimeParams["tcp_keepalives_idle"] = "20" // seconds, after which the server looks whether this host is there
	config.RuntimeParams["tcp_keepalives_interval"] = "5"
	config.RuntimeParams["tcp_keepalives_count"] = "4"
	h := &Held{config: config}
	if h.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("open database %s on %s: %w", config.Database, config.Host, err)
	}
	if err := h.lock(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Run holds the database until ctx ends. Where the connection breaks, as it does when
// the server restarts, it connects and takes the lock again, however long that takes.
// The error is [ErrHeld] where another process has taken the database meanwhile.
func (h *Held) Run(ctx context.Context, log *slog.Logger) error {
	for ctx.Err() == nil {
		_, broken := h.conn.WaitForNotification(ctx) // none is asked for: it returns when the connection breaks
		if broken == nil || ctx.Err() != nil {
			continue
		}
		log.Warn("the connection that holds the database is broken", "err", broken)
		if err := h.regain(ctx); err != nil {
			return err
		}
		if ctx.Err() == nil {
			log.Info("the database is held again")
		}
	}
	return nil
}

// regain connects and locks until both are done. It returns nil if ctx ends before.
func (h *Held) regain(ctx context.Context) error {
	for {
		err := h.connect(ctx)
		if err == nil || errors.Is(err, ErrHeld) {
			return err
		}
		select {
		case <-time.After(retry + rand.N(retry)): //nolint:gosec // spreads attempts
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *Held) connect(ctx context.Context) error {
	_ = h.Close() // it is broken
	ctx, cancel := context.WithTimeout(ctx, unheld)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, h.config)
	if err != nil {
		return err
	}
	h.conn = conn
	if err := h.endLast(ctx); err != nil {
		return err
	}
	return h.lock(ctx)
}

// endLast ends the session that had the lock before. Where the network broke its connection, the
// server knows nothing of that for a while.
func (h *Held) endLast(ctx context.Context) error {
	_, err := h.conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2`, h.last.pid, h.last.began)
	if err != nil {
		return fmt.Errorf("end the former session: %w", err)
	}
	return nil
}

// lock takes the lock. A former holder may be known to the server for a while.
func (h *Held) lock(ctx context.Context) error {
	if err := h.note(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(leftTime); ; {
		var taken bool
		err := h.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext('lateen.platform'), hashtext(current_schema()))`).Scan(&taken)
		switch {
		case err != nil:
			return fmt.Errorf("lock the database: %w", err)
		case taken:
			return nil
		case time.Now().After(deadline):
			return ErrHeld
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// note keeps how the server knows the session.
func (h *Held) note(ctx context.Context) error {
	err := h.conn.QueryRow(ctx, `SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()`).Scan(&h.last.pid, &h.last.began)
	if err != nil {
		return fmt.Errorf("read the session: %w", err)
	}
	return nil
}

// Close frees the database, as soon as the server notices. It is called after Run.
func (h *Held) Close() error { return h.conn.PgConn().Conn().Close() }
