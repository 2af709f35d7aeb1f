// Package sqlite opens the store, and databases of other components, in SQLite
// files.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// Open opens the store in the file at path and migrates it. It creates a missing
// file with mode 0600. Acknowledged writes survive a crash of the process and of the
// machine.
func Open(ctx context.Context, path string) (*store.Store, error) {
	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	file, err := OpenFile(ctx, path, "_synchronous=FULL", "_foreign_keys=1")
	if err != nil {
		return nil, err
	}
	if err := quickCheck(ctx, file.Read); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	if err := store.Migrate(ctx, file.Write, goose.DialectSQLite3); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	if err := file.optimize(ctx); err != nil && classify(err) != store.Full { // a full disk can still be read
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return store.New(&store.Database{Write: file.Write, Read: file.Read, Classify: classify, Optimize: file.optimize}), nil
}

// optimize refreshes the planner's statistics of tables that have none or have grown
// tenfold, from a few hundred rows of each index; see
// https://www.sqlite.org/pragma.html#pragma_optimize.
func (f *File) optimize(ctx context.Context) error {
	const allTables, analyze = 0x10000, 0x02
	for _, query := range []string{"PRAGMA analysis_limit = 400", fmt.Sprintf("PRAGMA optimize = %d", allTables|analyze)} {
		if _, err := f.Write.ExecContext(ctx, query); err != nil {
			return fmt.Errorf("refresh the statistics of the planner: %w", err)
		}
	}
	// A connection reads statistics only when it is opened.
	f.Read.SetMaxIdleConns(0)
	f.Read.SetMaxIdleConns(readers)
	return nil
}

// View opens the store in the file at path read-only and without a migration, also
// if another process has it open. Every write fails.
func View(ctx context.Context, path string) (*store.Store, error) {
	db, err := openReadOnly(ctx, path, "_query_only=1")
	if err != nil {
		return nil, err
	}
	return store.New(&store.Database{Write: db, Read: db, Classify: classify}), nil
}

// Copy writes a consistent snapshot of the SQLite file at from to the file at to,
// durably and with mode 0600. It does not block writers of the original. to must not
// exist.
func Copy(ctx context.Context, from, to string) error {
	db, err := openReadOnly(ctx, from)
	if err != nil {
		return err
	}
	defer db.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // SQLite accepts an empty file
	if err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	defer f.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		if classify(err) == store.Full {
			err = lateen.ErrStorageFull.Because(err)
		}
		return fmt.Errorf("copy database %s: %w", from, err)
	}
	return f.Sync()
}

// lock keeps other processes from opening the store until unlock is called. It is
// the write lock of an empty database, so it ends with the process. Without a
// journal it needs no disk space.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	db, err := open(ctx, path, 1, []string{"_busy_timeout=60000", "_journal_mode=OFF", "_txlock=exclusive"})
	if err != nil {
		return nil, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), db.Close())
	}
	return func() { _ = tx.Rollback(); _ = db.Close() }, nil
}

// File is a SQLite file in WAL mode with one writing connection, all of whose
// transactions begin as writers, and several read-only connections.
type File struct {
	Write, Read *sql.DB
}

const readers = 8

// OpenFile opens the SQLite file at path, and creates a missing file with mode 0600.
// Settings are parameters of the driver's data source name: "_synchronous=NORMAL".
func OpenFile(ctx context.Context, path string, settings ...string) (*File, error) {
	settings = append(settings, "_busy_timeout=20000", "_journal_mode=WAL", "_txlock=immediate")
	write, err := open(ctx, path, 1, settings)
	if err != nil {
		return nil, err
	}
	read, err := open(ctx, path, readers, append(settings, "_query_only=1"))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return &File{Write: write, Read: read}, nil
}

// Close closes all connections.
func (f *File) Close() error { return errors.Join(f.Read.Close(), f.Write.Close()) }

func open(ctx context.Context, path string, connections int, settings []string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite's other files get the mode of this file
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return connect(ctx, path, connections, settings)
}

// openReadOnly opens an existing database file.
func openReadOnly(ctx context.Context, path string, settings ...string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return connect(ctx, path, 1, append(settings, "mode=ro", "_busy_timeout=20000"))
}

func connect(ctx context.Context, path string, connections int, settings []string) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: strings.Join(settings, "&")}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := db.PingContext(ctx); err != nil {
		if classify(err) == store.Full {
			err = lateen.ErrStorageFull.Because(err)
		}
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.Close())
	}
	return db, nil
}

// checkTime limits the check for damage at the opening of a store.
const checkTime = 2 * time.Second

// errDamaged is the error of quickCheck for a damaged database.
var errDamaged = errors.New("the database is damaged")

// quickCheck checks the structure of a database for damage for at most checkTime. It
// takes the unchecked rest as intact.
func quickCheck(ctx context.Context, db *sql.DB) error {
	limited, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var found string
	err := db.QueryRowContext(limited, `PRAGMA quick_check(1)`).Scan(&found)
	switch {
	case limited.Err() != nil:
		return ctx.Err()
	case err == nil && found != "ok":
		return fmt.Errorf("%w: %s", errDamaged, found)
	}
	return err
}

// Damaged reports whether err means that a file is not a SQLite database or is a
// damaged one.
func Damaged(err error) bool {
	if errors.Is(err, errDamaged) {
		return true
	}
	e, ok := errors.AsType[*driver.Error](err)
	return ok && (e.Code()&0xff == code.SQLITE_CORRUPT || e.Code()&0xff == code.SQLITE_NOTADB)
}

func classify(err error) store.Fault {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return store.Other
	}
	switch e.Code() {
	case code.SQLITE_CONSTRAINT_UNIQUE, code.SQLITE_CONSTRAINT_PRIMARYKEY:
		return store.Duplicate
	case code.SQLITE_CONSTRAINT_FOREIGNKEY:
		return store.Dangling
	case code.SQLITE_FULL, code.SQLITE_IOERR_SHMSIZE: // the latter: of the index of the WAL
		return store.Full
	}
	if primary := e.Code() & 0xff; primary == code.SQLITE_BUSY || primary == code.SQLITE_LOCKED {
		return store.Contended
	}
	return store.Other
}
