package observe

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lateen-dev/lateen"
)

const (
	trimEntries = 2000 // maximum number of entries that one call of trim removes
	vacuumPages = 4096 // maximum number of pages that one call returns to the file system
)

// trim removes the entries before a time, and the oldest entries of the largest
// projects until the database uses no more than maxBytes. It works in steps, between
// which writers may proceed, and reports whether more steps are necessary.
func (db *database) trim(ctx context.Context, maxBytes int64, before lateen.Millis) (more bool, err error) {
	used, free, err := db.size(ctx)
	if err != nil {
		return false, err
	}
	upTo, more, err := db.tooMuch(ctx, 0, before)
	if err != nil {
		return false, err
	}
	if upTo > 0 {
		if err := db.remove(ctx, "<= ?", upTo); err != nil {
			return false, err
		}
		db.usage = nil // counted again when needed
	}
	if used > maxBytes && upTo == 0 {
		if more, err = db.trimLargest(ctx, used-maxBytes); err != nil {
			return false, err
		}
	}
	// Free pages are reused, so only many of them are returned to the file system.
	if free > maxBytes/8 {
		if err := db.shrink(ctx); err != nil {
			return false, fmt.Errorf("shrink the log database: %w", err)
		}
		more = true
	}
	return more, nil
}

// tooMuch returns the largest id to remove: entries before a time, and at least
// excess bytes. 0 is none.
func (db *database) tooMuch(ctx context.Context, excess int64, before lateen.Millis) (upTo int64, more bool, err error) {
	rows, err := db.file.Read.QueryContext(ctx,
		`SELECT id, time, min(bytes, ?) + min(lines, ?) * ? + COALESCE(length(record), 0) FROM entries ORDER BY id LIMIT ?`,
		MaxRequestBytes, MaxRequestLines, overhead, trimEntries)
	if err != nil {
		return 0, false, fmt.Errorf("read the oldest logs: %w", err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var id, size int64
		var at lateen.Millis
		if err := rows.Scan(&id, &at, &size); err != nil {
			return 0, false, err
		}
		if at >= before && excess <= 0 {
			return upTo, false, nil
		}
		upTo, excess, n = id, excess-size-overhead, n+1
	}
	return upTo, n == trimEntries, rows.Err()
}

// removal is an entry that was removed.
type removal struct {
	project lateen.ProjectID
	at      position
}

// remove deletes the entries whose id matches a condition, and their lines.
func (db *database) remove(ctx context.Context, condition string, arg any) error {
	tx, err := db.file.Write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `DELETE FROM lines WHERE entry `+condition, arg); err != nil {
		return fmt.Errorf("remove old log lines: %w", err)
	}
	list, err := removeEntries(ctx, tx, condition, arg)
	if err != nil {
		return fmt.Errorf("remove old logs: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if db.onRemove != nil {
		db.onRemove(list)
	}
	return nil
}

func removeEntries(ctx context.Context, tx *sql.Tx, condition string, arg any) (list []removal, err error) {
	rows, err := tx.QueryContext(ctx, `DELETE FROM entries WHERE id `+condition+` RETURNING project, batch, id`, arg)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r removal
		if err := rows.Scan(&r.project, &r.at.batch, &r.at.id); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// shrink returns free pages to the file system. The file shrinks at the checkpoint,
// as far as readers allow.
func (db *database) shrink(ctx context.Context) error {
	for _, query := range []string{fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages), "PRAGMA wal_checkpoint(PASSIVE)"} {
		if _, err := db.file.Write.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}
