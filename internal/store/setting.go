package store

import "context"

// GetSetting returns a setting of the whole platform; ok is false if it was never
// set.
func (q *Queries) GetSetting(ctx context.Context, key string) (value string, ok bool, err error) {
	values, err := list(ctx, q, scanText[string], `SELECT value FROM settings WHERE key = ?`, key)
	if err != nil || len(values) == 0 {
		return "", false, err
	}
	return values[0], true, nil
}

// PutSetting stores a setting of the whole platform.
func (q *Queries) PutSetting(ctx context.Context, key, value string) error {
	return q.exec(ctx, meaning{},
		`INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
}

// scanText reads a row of one text column.
func scanText[T ~string](r row) (T, error) {
	var text T
	err := r.Scan(&text)
	return text, err
}
