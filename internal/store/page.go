package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// where collects the conditions of a query and their arguments.
type where struct {
	conditions []string
	args       []any
}

func (w *where) and(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

// equal adds the condition column = value, unless value is zero.
func equal[T comparable](w *where, column string, value T) {
	var zero T
	if value != zero {
		w.and(column+" = ?", value)
	}
}

// among adds the condition that a column is one of values, unless values is empty.
func among[T any](w *where, column string, values []T) {
	if len(values) == 0 {
		return
	}
	w.and(column + " IN (" + placeholders(len(values)) + ")")
	for _, v := range values {
		w.args = append(w.args, v)
	}
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

func placeholders(n int) string {
	return strings.TrimSuffix(strings.Repeat("?, ", n), ", ")
}

// page returns rows by created_at, newest first: rows before until (0: all), and at
// most limit rows (0: all) plus the rows created in the same millisecond as the last
// one. A caller gets the next page with until set to the last row's created_at,
// without missing or repeated rows.
func page[T any](ctx context.Context, q *Queries, scan func(row) (T, error), key func(T) (lateen.Millis, string),
	from string, w where, until lateen.Millis, limit int,
) ([]T, error) {
	rest := where{conditions: slices.Clip(w.conditions), args: slices.Clip(w.args)}
	if until != 0 {
		w.and("created_at < ?", until)
	}
	query := from + w.String() + " ORDER BY created_at DESC, id DESC"
	if limit <= 0 {
		return list(ctx, q, scan, query, w.args...)
	}
	items, err := list(ctx, q, scan, query+" LIMIT ?", append(w.args, limit)...)
	if err != nil || len(items) < limit {
		return items, err
	}
	at, id := key(items[limit-1])
	rest.and("created_at = ? AND id < ?", at, id)
	ties, err := list(ctx, q, scan, from+rest.String()+" ORDER BY id DESC", rest.args...)
	return append(items, ties...), err
}

// asJSON stores the value that v points to as JSON in a text column.
type asJSON[T any] struct{ v *T }

// Value implements [driver.Valuer].
func (j asJSON[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(j.v)
	return string(b), err
}

// Scan implements [database/sql.Scanner].
func (j asJSON[T]) Scan(src any) error {
	switch text := src.(type) {
	case string:
		return json.Unmarshal([]byte(text), j.v)
	case []byte:
		return json.Unmarshal(text, j.v)
	}
	return fmt.Errorf("read JSON from a column of type %T", src)
}
