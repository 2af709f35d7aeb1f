package observe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// Properties of a database file; a file with other values is moved aside.
const (
	schemaVersion = 2
	incremental   = 2 // a mode of auto_vacuum
)

// Ids grow in the order of arrival, approximately the order of time, so the oldest
// entries have the least ids. The id of a line contains the batch that wrote it, see
// [firstLine]. A row of entries is a request or, with request "", a group of lines
// outside any request; its record is NULL until it arrives. The columns before the
// record are copies for searches.
const schema = `
CREATE TABLE entries (
	id         INTEGER PRIMARY KEY,
	request    TEXT NOT NULL,
	time       INTEGER NOT NULL, -- Unix milliseconds
	project    TEXT NOT NULL,
	deployment TEXT NOT NULL,
	target     TEXT NOT NULL,
	branch     TEXT NOT NULL,
	status     INTEGER NOT NULL,
	kind       TEXT NOT NULL,
	middleware INTEGER NOT NULL, -- 1: it ran
	path       TEXT NOT NULL,
	levels     INTEGER NOT NULL, -- bits: see levelBit
	lines      INTEGER NOT NULL, -- that came, with those that are not kept
	bytes      INTEGER NOT NULL, -- of them
	record     TEXT,             -- JSON
	batch      INTEGER NOT NULL DEFAULT 0, -- that wrote the record, or lines outside of any request; 0: none yet
	changed    INTEGER NOT NULL DEFAULT 0  -- the last batch that wrote a part of the entry
) STRICT;
CREATE UNIQUE INDEX entries_by_request ON entries (request) WHERE request <> '';
CREATE INDEX entries_by_project ON entries (project, time);
` + byBatch + `
CREATE TABLE lines (
	id        INTEGER PRIMARY KEY,
	entry     INTEGER NOT NULL,
	time      INTEGER NOT NULL,
	level     TEXT NOT NULL,
	source    TEXT NOT NULL,
	function  TEXT NOT NULL,
	instance  TEXT NOT NULL,
	text      TEXT NOT NULL,
	truncated INTEGER NOT NULL
) STRICT;
CREATE INDEX lines_by_entry ON lines (entry);
`

// byBatch finds entries in the order of recording: the entries that a batch
// completed, and the few to which a later batch added lines.
const byBatch = `
CREATE INDEX entries_by_batch ON entries (project, batch);
CREATE INDEX entries_by_change ON entries (project, changed) WHERE changed > batch;
`

// upgrade migrates a file from version 1 to version 2.
const upgrade = `
ALTER TABLE entries ADD COLUMN batch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
` + byBatch

// database is the log's file. One goroutine writes, any goroutine may read.
type database struct {
	file     *sqlite.File
	usage    usage
	onRemove func([]removal) // callback with removed entries; nil: none
}

var errForeign = errors.New("it is not a database of this log")

// openDatabase opens the file in dir. It moves a file aside that is damaged or of
// another program or version, and creates a new one.
func openDatabase(ctx context.Context, dir string, log *slog.Logger) (*database, error) {
	db, err := tryDatabase(ctx, dir)
	if err == nil || !sqlite.Damaged(err) && !errors.Is(err, errForeign) {
		return db, err
	}
	log.WarnContext(ctx, "the log database is unusable: it is moved aside and replaced", "aside", name(dir)+".aside", "err", err)
	if err := moveAside(dir); err != nil {
		return nil, fmt.Errorf("move the log database aside: %w", err)
	}
	return tryDatabase(ctx, dir)
}

func name(dir string) string { return filepath.Join(dir, "logs.db") }

// moveAside renames the file, and replaces one that was moved aside before.
func moveAside(dir string) error {
	for _, sibling := range []string{"-wal", "-shm"} {
		if err := os.Remove(name(dir) + sibling); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(name(dir), name(dir)+".aside")
}

func tryDatabase(ctx context.Context, dir string) (*database, error) {
	settings := []string{"_synchronous=NORMAL", "_pragma=journal_size_limit(8388608)"}
	if info, err := os.Stat(name(dir)); err != nil || info.Size() == 0 { // setting it writes to the file, even if it is set already
		settings = append(settings, "_auto_vacuum=INCREMENTAL")
	}
	file, err := sqlite.OpenFile(ctx, name(dir), settings...)
	if err != nil {
		return nil, err
	}
	db := &database{file: file}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("log database %s: %w", name(dir), err), file.Close())
	}
	return db, nil
}

// migrate creates the tables in an empty file and refuses a foreign file.
func (db *database) migrate(ctx context.Context) error {
	tx, err := db.file.Write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version, vacuum, tables int
	text := schema
	err = tx.QueryRowContext(ctx, `SELECT user_version, auto_vacuum, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_user_version, pragma_auto_vacuum`).Scan(&version, &vacuum, &tables)
	switch {
	case err != nil:
		return err
	case version == schemaVersion && vacuum == incremental:
		return nil
	case version == 1 && vacuum == incremental:
		text = upgrade
	case version != 0 || tables != 0 || vacuum != incremental:
		return errForeign
	}
	if _, err := tx.ExecContext(ctx, text+`PRAGMA user_version = `+strconv.Itoa(schemaVersion)); err != nil {
		return err
	}
	return tx.Commit()
}

// lastBatch returns the number of the last written batch, 0 for none.
func (db *database) lastBatch(ctx context.Context) (batch int64, err error) {
	err = db.file.Read.QueryRowContext(ctx, `SELECT max((SELECT COALESCE(MAX(batch), 0) FROM entries),
		(SELECT COALESCE(MAX(id), 0) FROM lines) >> ?)`, lineBits).Scan(&batch)
	return batch, err
}

// Close closes the file.
func (db *database) Close() error { return db.file.Close() }

// size returns the bytes of the file that the database uses, and the bytes that are
// free in the file. The file shrinks to the used size with time.
func (db *database) size(ctx context.Context) (used, free int64, err error) {
	var pages, unused, pageSize int64
	err = db.file.Read.QueryRowContext(ctx, `SELECT page_count, freelist_count, page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&pages, &unused, &pageSize)
	return (pages - unused) * pageSize, unused * pageSize, err
}
