// Package store keeps the platform's state in a SQL database: one file a
// noun, the same hand-written SQL for every dialect. Its subpackages sqlite and
// postgres open it; storetest is the suite both must pass.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

// Database is what a dialect opens: connections and what differs about them.
type Database struct {
	// Write starts the transactions that change something, Read answers
	// single queries. They may be the same.
	Write, Read *sql.DB
	// TxOptions are those of a write transaction; nil is the driver's default.
	// Together with Write they must make such transactions serializable.
	TxOptions *sql.TxOptions
	// Numbered is true where a parameter is written $1 instead of ?.
	Numbered bool
	// Classify says what an error of the driver means.
	Classify func(error) Fault

	// Optimize refreshes the statistics by which queries are planned; nil is a
	// database that does so by itself.
	Optimize func(ctx context.Context) error

	trace func(query string, args []any) // see [Store.Trace]; nil: no trace
}

// Fault is what an error of a driver means to the store.
type Fault int

// The faults.
const (
	Other       Fault = iota // none of these
	Duplicate                // a row breaks a unique constraint
	Dangling                 // a row names another that is not there
	Contended                // another transaction was in the way: try again
	Unstorable               // text that no row can hold
	Full                     // there is no room on the disk
	Unreachable              // the database's server does not answer
)

// Store is the state of the platform. Every method of the embedded [Queries]
// is a transaction of its own, durable when it returns; [Store.Update] makes
// several into one. Times and ids are the caller's; what is absent is reported
// as the noun's not-found error, a broken unique constraint as its taken error,
// a full disk as [lateen.ErrStorageFull].
type Store struct {
	*Queries
}

// Optimize refreshes the statistics by which the database plans queries, where
// the database does not do so by itself. It is for now and then: each hour.
func (s *Store) Optimize(ctx context.Context) error {
	if s.db.Optimize == nil {
		return nil
	}
	return s.db.Optimize(ctx)
}

// New returns the store in db, whose schema [Migrate] has brought up to date.
func New(db *Database) *Store { return &Store{Queries: &Queries{db: db}} }

// Close closes the connections. The store is not used afterwards.
func (s *Store) Close() error {
	if s.db.Read == s.db.Write {
		return s.db.Write.Close()
	}
	return errors.Join(s.db.Read.Close(), s.db.Write.Close())
}

// Trace has fn called with the text and the arguments of every statement, as
// the database gets them. It is for tests, and set before the store is used.
func (s *Store) Trace(fn func(query string, args []any)) { s.db.trace = fn }

// Update runs fn in one transaction, which is as if it ran alone: it commits if fn
// returns nil and rolls back otherwise. fn must use q, never s, may run more
// than once, and ends at its first error: a transaction in which a
// write failed never commits.
func (s *Store) Update(ctx context.Context, fn func(q *Queries) error) error {
	return s.write(ctx, fn)
}

// Queries are the reads and writes, by noun. See [Store].
type Queries struct {
	db *Database

	tx     *sql.Tx // nil outside of Update
	failed error   // of the first write of tx that failed
}

// A contended transaction is tried this often, after pauses that start at
// firstPause and double.
const (
	attempts   = 10
	firstPause = 2 * time.Millisecond
)

var errContended = &lateen.Error{
	Code: lateen.Unavailable, Reason: "store_contended",
	Message: "too many changes at the same time", Hint: "try again in a moment",
}

var errUnreachable = &lateen.Error{
	Code: lateen.Unavailable, Reason: "database_unreachable",
	Message: "the platform's database does not answer", Hint: "start the server that --database names: the platform connects again by itself",
}

// write runs fn in q's transaction, which does not commit if it fails, or,
// outside of any, in one of its own.
func (q *Queries) write(ctx context.Context, fn func(q *Queries) error) error {
	if q.tx != nil {
		err := fn(q)
		q.failed = cmp.Or(q.failed, err)
		return err
	}
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := q.transact(ctx, fn)
		if err == nil || ctx.Err() != nil {
			return err
		}
		switch fault := q.db.Classify(err); {
		case fault == Full:
			return lateen.ErrStorageFull.Because(err)
		case fault == Unreachable:
			return errUnreachable.Because(err)
		case fault != Contended:
			return err
		case attempt == attempts:
			return errContended.Because(err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause + rand.N(pause)):
		}
		pause *= 2
	}
}

// settleWithin is how long a transaction may go on once its caller has left.
const settleWithin = 10 * time.Second

// transact runs fn in a transaction. A caller that leaves ends the statement that
// is under way and no later one begins, but a commit goes on: whether it was made
// would be unknown otherwise.
func (q *Queries) transact(ctx context.Context, fn func(q *Queries) error) error {
	conn, err := q.db.Write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer conn.Close() //nolint:errcheck // what it carried has succeeded or failed already
	staying, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(settleWithin, end) })()
	tx, err := conn.BeginTx(staying, q.db.TxOptions)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback()
	inner := &Queries{db: q.db, tx: tx}
	if err := fn(inner); err != nil {
		return err
	}
	if inner.failed != nil {
		return inner.failed
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// meaning is how the faults of a write read to its caller; nil means that
// the fault has no meaning there.
type meaning struct {
	taken    *lateen.Error // a unique constraint is broken
	dangling *lateen.Error // a row it refers to is not there
	missing  *lateen.Error // no row was changed
}

// exec runs a statement that must change at least one row.
func (q *Queries) exec(ctx context.Context, m meaning, query string, args ...any) error {
	return q.write(ctx, func(q *Queries) error {
		n, err := q.execAny(ctx, m, query, args...)
		if err == nil && n == 0 && m.missing != nil {
			return m.missing
		}
		return err
	})
}

// execAny runs a statement and returns how many rows it changed.
func (q *Queries) execAny(ctx context.Context, m meaning, query string, args ...any) (int64, error) {
	var n int64
	err := q.write(ctx, func(q *Queries) error {
		result, err := q.tx.ExecContext(ctx, q.db.statement(query, args), storable(args)...)
		if err == nil {
			n, err = result.RowsAffected()
		}
		if err != nil {
			return q.explain(err, m)
		}
		return nil
	})
	return n, err
}

func (q *Queries) explain(err error, m meaning) error {
	switch fault := q.db.Classify(err); {
	case fault == Duplicate && m.taken != nil:
		return m.taken.Because(err)
	case fault == Dangling && m.dangling != nil:
		return m.dangling.Because(err)
	case fault == Unstorable && m.missing != nil:
		return m.missing.Because(err)
	}
	return fmt.Errorf("write to the store: %w", err)
}

func (q *Queries) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if q.tx != nil {
		return q.tx.QueryContext(ctx, q.db.statement(query, args), args...)
	}
	return q.db.Read.QueryContext(ctx, q.db.statement(query, args), args...)
}

// statement is a query as the database gets it.
func (db *Database) statement(query string, args []any) string {
	query = db.rebind(query)
	if db.trace != nil {
		db.trace(query, args)
	}
	return query
}

// row is what a scan function reads: one row of a result.
type row interface {
	Scan(dest ...any) error
}

// list returns every row of a query, read by scan.
func list[T any](ctx context.Context, q *Queries, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.query(ctx, query, args...)
	if err != nil {
		if q.db.Classify(err) == Unstorable {
			return nil, nil
		}
		return nil, q.unread(err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, q.unread(err)
		}
		out = append(out, item)
	}
	if err := rows.Err(); err != nil {
		return nil, q.unread(err)
	}
	return out, nil
}

// unread is the error of a read that failed.
func (q *Queries) unread(err error) error {
	if q.db.Classify(err) == Unreachable {
		return errUnreachable.Because(err)
	}
	return fmt.Errorf("read the store: %w", err)
}

// one returns the first row of a query, or missing.
func one[T any](ctx context.Context, q *Queries, missing *lateen.Error, scan func(row) (T, error), query string, args ...any) (T, error) {
	found, err := list(ctx, q, scan, query, args...)
	if err != nil || len(found) == 0 {
		var none T
		if err == nil {
			err = missing
		}
		return none, err
	}
	return found[0], nil
}

// rebind writes the parameters of a query the way the database reads them.
// A ? in the store's SQL is always a parameter.
func (db *Database) rebind(query string) string {
	if !db.Numbered {
		return query
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		query = after
	}
}

// storable makes free text what every database can hold: UTF-8 without NUL.
func storable(args []any) []any {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
		}
	}
	return args
}
