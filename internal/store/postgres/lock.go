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

// ErrInUse means that another process holds the database.
var ErrInUse = errors.New("another process uses it")

const (
	leftTime = 5 * time.Second  // wait for the server to notice the end of an earlier holder
	retry    = time.Second      // minimum interval of connection attempts
	unheld   = 10 * time.Second // limit of one connection attempt
)

// Lock is a database that one process holds: its connection has an advisory lock.
type Lock struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn
	last   session // session that requested the lock
}

// session identifies a connection at the server. Servers reuse process ids.
type session struct {
	pid   int32
	began time.Time
}

// Acquire locks the database of dsn for this process until the result is closed or the
// process ends. Stores are opened separately. If another process has the lock, the
// error is [ErrInUse].
func Acquire(ctx context.Context, dsn string) (*Lock, error) {
	config, err := pgx.ParseConfig(dsn) // its errors hide the password
	if err != nil {
		return nil, fmt.Errorf("read the database's address: %w", err)
	}
	detectBreaks(config) // else the server could give the idle lock away while this process still relies on it
	h := &Lock{config: config}
	if h.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, openError(config, err)
	}
	if err := h.lock(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Run holds the database until ctx ends. If the connection breaks, for example at a
// restart of the server, Run connects and locks again, without a time limit. If
// another process has taken the lock meanwhile, the error is [ErrInUse].
func (h *Lock) Run(ctx context.Context, log *slog.Logger) error {
	for ctx.Err() == nil {
		_, broken := h.conn.WaitForNotification(ctx) // it listens on no channel, so it returns when the connection breaks
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

// regain retries to connect and lock until it succeeds. It returns nil if ctx ends
// first.
func (h *Lock) regain(ctx context.Context) error {
	for {
		err := h.connect(ctx)
		if err == nil || errors.Is(err, ErrInUse) {
			return err
		}
		select {
		case <-time.After(retry + rand.N(retry)): //nolint:gosec // spreads attempts
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *Lock) connect(ctx context.Context) error {
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

// endLast terminates the session that had the lock before. After a network failure,
// the server may not have noticed its end yet.
func (h *Lock) endLast(ctx context.Context) error {
	_, err := h.conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2`, h.last.pid, h.last.began)
	if err != nil {
		return fmt.Errorf("end the former session: %w", err)
	}
	return nil
}

// lock takes the lock. The server may need some time to notice the end of an earlier
// holder.
func (h *Lock) lock(ctx context.Context) error {
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
			return ErrInUse
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// note records the identity of the session at the server.
func (h *Lock) note(ctx context.Context) error {
	err := h.conn.QueryRow(ctx, `SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()`).Scan(&h.last.pid, &h.last.began)
	if err != nil {
		return fmt.Errorf("read the session: %w", err)
	}
	return nil
}

// Close releases the database, once the server notices. It must be called after Run.
func (h *Lock) Close() error { return h.conn.PgConn().Conn().Close() }
