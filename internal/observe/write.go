package observe

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lateen-dev/lateen"
)

// lineBits is the number of low bits of a line's id, which count the lines of a
// batch: more than a full queue has, with a closing line for each of its requests.
// The higher bits are the batch.
const lineBits = 17

// firstLine returns the least possible line id of a batch.
func firstLine(batch int64) int64 { return batch << lineBits }

const (
	insertEntry = `INSERT INTO entries
		(request, time, project, deployment, target, branch, status, kind, middleware, path, levels, lines, bytes, record, batch, changed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (request) WHERE request <> '' DO `
	unlessThere = `NOTHING`
	orAdd       = `UPDATE SET
		levels = levels | excluded.levels, lines = lines + excluded.lines, bytes = bytes + excluded.bytes,
		changed = excluded.changed`
	withRecord = `, time = excluded.time, project = excluded.project, deployment = excluded.deployment, target = excluded.target,
		branch = excluded.branch, status = excluded.status, kind = excluded.kind, middleware = excluded.middleware,
		path = excluded.path, record = excluded.record, batch = excluded.batch`
	returning  = ` RETURNING id, lines, bytes`
	insertLine = `INSERT INTO lines (id, entry, time, level, source, function, instance, text, truncated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// write writes a batch, in one transaction, under a number greater than that of every
// earlier batch. It returns the project of each group.
func (db *database) write(ctx context.Context, b batch, number int64) ([]lateen.ProjectID, error) {
	tx, err := db.file.Write.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback()
	w, err := newWriter(ctx, tx, number)
	if err != nil {
		return nil, err
	}
	projects := make([]lateen.ProjectID, 0, len(b.groups))
	for _, g := range b.groups {
		project, err := w.write(ctx, g)
		if err != nil {
			return nil, err
		}
		projects = append(projects, project)
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	db.usage.add(b.groups, projects)
	return projects, nil
}

// writer writes groups within a transaction.
type writer struct {
	putNew, putRecord, putLines, putLine *sql.Stmt

	batch    int64
	nextLine int64 // id of the next line
}

func newWriter(ctx context.Context, tx *sql.Tx, batch int64) (w *writer, err error) {
	w = &writer{batch: batch, nextLine: firstLine(batch)}
	w.putNew, err = tx.PrepareContext(ctx, insertEntry+unlessThere)
	if err == nil {
		w.putRecord, err = tx.PrepareContext(ctx, insertEntry+orAdd+withRecord+returning)
	}
	if err == nil {
		w.putLines, err = tx.PrepareContext(ctx, insertEntry+orAdd+returning)
	}
	if err == nil {
		w.putLine, err = tx.PrepareContext(ctx, insertLine)
	}
	return w, err // the transaction closes its statements
}

// write writes a group and returns its project.
func (w *writer) write(ctx context.Context, g *group) (lateen.ProjectID, error) {
	r, put, text, completed := g.record, w.putRecord, sql.NullString{String: string(g.text), Valid: true}, w.batch
	if r == nil {
		r, put, text = partial(g.lines[0]), w.putLines, sql.NullString{}
		if r.ID != "" {
			completed = 0 // completed by the request's end
		}
	}
	values := []any{
		r.ID, r.Time, r.Project, r.Deployment, r.Target, r.Branch, r.Status, r.Kind, r.Middleware != nil,
		r.Path, levelsOf(g), g.seen, g.seenBytes, text, completed, w.batch,
	}
	id, err := w.insert(ctx, values)
	if err != nil {
		return "", fmt.Errorf("write entry: %w", err)
	}
	lines, bytes := g.seen, g.seenBytes
	if id == 0 {
		if err := put.QueryRowContext(ctx, values...).Scan(&id, &lines, &bytes); err != nil {
			return "", fmt.Errorf("add to entry: %w", err)
		}
	}
	return r.Project, w.writeLines(ctx, id, g, lines-g.seen, bytes-g.seenBytes)
}

// insert inserts an entry, unless its request has one, and returns its id or 0.
// Nearly all entries are new, and an insert costs half of an upsert.
func (w *writer) insert(ctx context.Context, values []any) (int64, error) {
	result, err := w.putNew.ExecContext(ctx, values...)
	if err != nil {
		return 0, err
	}
	if n, err := result.RowsAffected(); n == 0 || err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// writeLines adds the lines of a group to an existing entry, up to the limit of a
// request, and marks the end if it truncates.
func (w *writer) writeLines(ctx context.Context, entry int64, g *group, lines, bytes int) error {
	before := within(lines, bytes)
	for _, line := range g.lines {
		lines, bytes = lines+1, bytes+len(line.Text)
		if !within(lines, bytes) {
			break
		}
		if err := w.writeLine(ctx, entry, line); err != nil {
			return err
		}
	}
	if before && len(g.lines) > 0 && (!within(lines, bytes) || g.seen > len(g.lines)) {
		end := g.lines[len(g.lines)-1]
		end.Level, end.Source, end.Truncated = lateen.LevelWarning, "platform", true
		end.Text = fmt.Sprintf("the rest is dropped: the limits of a request are %d lines and %d KiB", MaxRequestLines, MaxRequestBytes>>10)
		return w.writeLine(ctx, entry, end)
	}
	return nil
}

func (w *writer) writeLine(ctx context.Context, entry int64, line lateen.LogLine) error {
	_, err := w.putLine.ExecContext(ctx, w.nextLine, entry, line.Time, line.Level, line.Source, line.Function, line.Instance, line.Text, line.Truncated)
	if err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	w.nextLine++
	return nil
}

// partial returns the part of a request's record that a line contains.
func partial(line lateen.LogLine) *lateen.Record {
	return &lateen.Record{ID: line.Request, Time: line.Time, Project: line.Project, Deployment: line.Deployment, Kind: line.Source}
}

// levelsOf returns the levels of a request's result and lines, as bits. A successful
// request without lines has none, and counts as info.
func levelsOf(g *group) int {
	levels := 0
	for _, line := range g.lines {
		levels |= levelBit(line.Level)
	}
	switch r := g.record; {
	case r == nil:
	case r.Status >= 500 || r.Error != "":
		levels |= levelBit(lateen.LevelError)
	case r.Status >= 400:
		levels |= levelBit(lateen.LevelWarning)
	}
	return levels
}

func levelBit(level string) int {
	switch level {
	case lateen.LevelError:
		return 4
	case lateen.LevelWarning:
		return 2
	case lateen.LevelInfo:
		return 1
	}
	return 0
}
