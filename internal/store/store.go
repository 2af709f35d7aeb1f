// Package store stores the platform's state in a SQL database. Each kind of object
// has a file, with the same SQL for all dialects. The subpackages sqlite and
// postgres open the database; storetest is the test suite of both.
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

// Database is the database of a dialect: its connections and its differences from
// other dialects.
type Database struct {
	// Write is for transactions that change rows, Read for single queries. They may
	// be the same.
	Write, Read *sql.DB
	// TxOptions are the options of a write transaction; nil is the driver's default.
	// With Write they must make these transactions serializable.
	TxOptions *sql.TxOptions
	// Limit is the time limit of a write transaction, and of a read outside of one; 0 is
	// none. Classify must report its end as Unreachable.
	Limit time.Duration
	// Numbered is true if parameters are written $1 instead of ?.
	Numbered bool
	// Classify returns the fault of a driver's error.
	Classify func(error) Fault

	// Optimize refreshes the statistics of the query planner; nil if the database
	// does so by itself.
	Optimize func(ctx context.Context) error

	trace func(query string, args []any) // see [Store.Trace]; nil: no trace
}

// Fault is the class of a driver's error.
type Fault int

// The faults.
const (
	Other       Fault = iota // any other error
	Duplicate                // a row breaks a unique constraint
	Dangling                 // a row refers to a missing row
	Contended                // a concurrent transaction conflicted: retry
	Unstorable               // text that the database cannot store
	Full                     // the disk is full
	Unreachable              // the database's server does not answer
)

// Store is the state of the platform. Every method of the embedded [Queries] is a
// transaction of its own, durable on return; [Store.Update] combines several into
// one. The caller provides times and ids. A missing object is reported as the
// not-found error of its kind, a violated unique constraint as its taken error, and
// a full disk as [lateen.ErrStorageFull].
type Store struct {
	*Queries
}

// Optimize refreshes the statistics of the query planner, if the database does not
// do so by itself. Callers run it about once an hour.
func (s *Store) Optimize(ctx context.Context) error {
	if s.db.Optimize == nil {
		return nil
	}
	return s.db.Optimize(ctx)
}

// New returns the store in db, which [Migrate] has migrated.
func New(db *Database) *Store { return &Store{Queries: &Queries{db: db}} }

// Close closes the connections. The store must not be used afterwards.
func (s *Store) Close() error {
	if s.db.Read == s.db.Write {
		return s.db.Write.Close()
	}
	return errors.Join(s.db.Read.Close(), s.db.Write.Close())
}

// Trace calls fn with the text and the arguments of every statement, as sent to the
// database. It is for tests, and must be set before the store is used.
func (s *Store) Trace(fn func(query string, args []any)) { s.db.trace = fn }

// Update runs fn in one serializable transaction: it commits if fn returns nil and
// rolls back otherwise. fn must use q, not s. fn may run more than once, and should
// return at its first error: a transaction with a failed write never commits.
func (s *Store) Update(ctx context.Context, fn func(q *Queries) error) error {
	return s.write(ctx, fn)
}

// Queries are the reads and writes of all kinds of objects. See [Store].
type Queries struct {
	db *Database

	tx       *sql.Tx   // nil outside Update
	deadline time.Time // of tx; zero: none
	failed   error     // first failed write of tx
}

// A contended transaction is tried up to attempts times, with pauses that start at
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
	Message: "the platform's database does not answer", Hint: "start the database server of --database; the platform reconnects by itself",
}

// write runs fn in q's transaction, which does not commit if fn fails, or in a
// transaction of its own if q has none.
func (q *Queries) write(ctx context.Context, fn func(q *Queries) error) (err error) {
	if q.tx != nil {
		err := fn(q)
		q.failed = cmp.Or(q.failed, err)
		return err
	}
	ctx, end := lateen.StartSpan(ctx, "store transaction")
	defer end(&err)
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

// settleWithin is the time limit of a transaction whose caller has left.
const settleWithin = 10 * time.Second

// transact runs fn in a transaction. If ctx ends, the current statement is canceled
// and no further one begins. A commit continues, as its result would be unknown
// otherwise. All ends at the time limit of the database.
func (q *Queries) transact(ctx context.Context, fn func(q *Queries) error) error {
	inner := &Queries{db: q.db, deadline: q.db.deadline()}
	limited, release := inner.within(ctx)
	defer release()
	conn, err := q.db.Write.Conn(limited)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer conn.Close() //nolint:errcheck // the transaction has succeeded or failed already
	staying, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	staying, release = inner.within(staying)
	defer release()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(settleWithin, end) })()
	tx, err := conn.BeginTx(staying, q.db.TxOptions)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback()
	inner.tx = tx
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

// deadline returns the end of a transaction or read that begins now; zero: none.
func (db *Database) deadline() (none time.Time) {
	if db.Limit == 0 {
		return none
	}
	return time.Now().Add(db.Limit)
}

// within returns a context that ends with ctx, or at the deadline of the transaction; that
// of a read outside of one begins now.
func (q *Queries) within(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline := q.deadline
	if deadline.IsZero() {
		deadline = q.db.deadline()
	}
	if deadline.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline)
}

// meaning maps the faults of a write to errors for the caller; a nil error means
// that the fault is not expected.
type meaning struct {
	taken    *lateen.Error // a unique constraint is violated
	dangling *lateen.Error // a row refers to a missing row
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
		ctx, release := q.within(ctx)
		defer release()
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

// statement returns a query in the form of the database.
func (db *Database) statement(query string, args []any) string {
	query = db.rebind(query)
	if db.trace != nil {
		db.trace(query, args)
	}
	return query
}

// row is one row of a result, read by a scan function.
type row interface {
	Scan(dest ...any) error
}

// list returns all rows of a query, read by scan.
func list[T any](ctx context.Context, q *Queries, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	limited, release := q.within(ctx)
	defer release()
	rows, err := q.query(limited, query, args...)
	if err != nil {
		if q.db.Classify(err) == Unstorable {
			return nil, nil
		}
		return nil, q.unread(ctx, err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, q.unread(ctx, err)
		}
		out = append(out, item)
	}
	if err := rows.Err(); err != nil {
		return nil, q.unread(ctx, err)
	}
	return out, nil
}

// unread returns the error of a failed read.
func (q *Queries) unread(ctx context.Context, err error) error {
	if ctx.Err() == nil && q.db.Classify(err) == Unreachable {
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

// rebind rewrites the parameters of a query for the database. A ? in the store's SQL
// is always a parameter.
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

// storable converts free text to a form that every database can store: UTF-8 without
// NUL.
func storable(args []any) []any {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
		}
	}
	return args
}
