// Package postgres opens the store in a PostgreSQL database.
package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/lateen-dev/lateen/internal/store"
)

const (
	connections = 20

	// limit is the time limit of a transaction, and of a read outside of one. The server
	// ends a transaction whose client is silent for as long.
	limit = 20 * time.Second

	pingAfter    = time.Second     // idle time after which a connection is checked before its use
	pingTimeout  = 5 * time.Second // two dead connections and a new one fit into the limit
	connectLimit = 8 * time.Second // of one connection attempt, if the address of the database has none
)

// Open opens the store in the database of dsn, a URL or "key=value" pairs, and
// migrates it. It needs PostgreSQL 13 or newer.
func Open(ctx context.Context, dsn string) (*store.Store, error) {
	return open(ctx, dsn, limit, migrate)
}

// View is [Open] for reading: it does not migrate the store, and every write fails.
func View(ctx context.Context, dsn string) (*store.Store, error) {
	return open(ctx, dsn, limit, func(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }, "default_transaction_read_only")
}

// open opens a database with some session parameters set to "on", and prepares it.
func open(ctx context.Context, dsn string, limit time.Duration, prepare func(context.Context, *sql.DB) error, on ...string) (*store.Store, error) {
	config, err := pgx.ParseConfig(dsn) // its errors hide the password
	if err != nil {
		return nil, fmt.Errorf("read the database's address: %w", err)
	}
	for _, parameter := range on {
		config.RuntimeParams[parameter] = "on"
	}
	detectBreaks(config)
	config.ConnectTimeout = cmp.Or(config.ConnectTimeout, connectLimit)
	setDefault(config, idleParameter, strconv.FormatInt(limit.Milliseconds(), 10))
	db := stdlib.OpenDB(*config, stdlib.OptionShouldPing(answers))
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := prepare(ctx, db); err != nil {
		return nil, errors.Join(openError(config, err), db.Close())
	}
	return store.New(&store.Database{
		Write: db, Read: db, TxOptions: &sql.TxOptions{Isolation: sql.LevelSerializable}, Numbered: true, Classify: classify, Limit: limit,
	}), nil
}

// migrate migrates the store under a lock that ends with its transaction.
func migrate(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `SET LOCAL `+idleParameter+` = 0`); err != nil { // it is idle while the migrations run
		return fmt.Errorf("lock for migration: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('lateen.migrate'))`); err != nil {
		return fmt.Errorf("lock for migration: %w", err)
	}
	return store.Migrate(ctx, db, goose.DialectPostgres)
}

// classify maps the error codes of PostgreSQL's manual, appendix A.
func classify(err error) store.Fault {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) {
		return store.Unreachable
	}
	if _, ok := errors.AsType[net.Error](err); ok { // also the end of a time limit
		return store.Unreachable
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return store.Other
	}
	switch e.Code {
	case "57P01", "57P02", "57P03", "25P03": // admin_shutdown, crash_shutdown, cannot_connect_now, idle_in_transaction_session_timeout
		return store.Unreachable
	case "23505": // unique_violation
		return store.Duplicate
	case "23503": // foreign_key_violation
		return store.Dangling
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return store.Contended
	case "22021": // character_not_in_repertoire
		return store.Unstorable
	case "53100": // disk_full
		return store.Full
	}
	return store.Other
}
