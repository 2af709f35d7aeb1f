package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Query is a filter of entries; a zero field selects all.
type Query struct {
	Project    lateen.ProjectID
	Deployment lateen.DeploymentID
	Request    lateen.RequestID
	Since      lateen.Millis // at or after this time
	Until      lateen.Millis // before this time
	// Levels selects entries by the level of the request's result or of one of its
	// lines: info, warning or error. A status from 500, or an error of the platform,
	// is an error; a status from 400 is a warning; an entry with neither of them nor
	// lines is info.
	Levels []string
	Status string // "404", or "4xx" for 400 to 499
	// Source is a comma-separated list of the terms of the vercel CLI (static,
	// serverless, edge-function, edge-middleware) and the kinds of a
	// [lateen.Record].
	Source      string
	Search      string // part of the path or of a line, case-insensitive for a to z
	Branch      string
	Environment lateen.Environment // target of the deployment
	Before      string             // Cursor of the last entry of the previous page; "" is the first page
	After       string             // for [Log.Tail]: the Cursor of the last entry of Tail, or a result of [Log.Latest]; "" is Latest
	Page        int                // number from 0 of a page of Limit entries after Before; new entries shift it
	Limit       int                // 0: 100; the maximum is 1,000
}

// Entry is a request with its lines in order, or lines outside any request. The
// record of such lines, and of a request that has not ended, has only the ID if
// there is one, the time, project, deployment and, as Kind, the source of the first
// line.
type Entry struct {
	lateen.Record

	Lines []lateen.LogLine `json:"lines,omitempty"`
	// Rows are the ids of Lines in the log, unique among all lines.
	Rows []int64 `json:"-"`
	// Cursor is the position of the entry, for [Query.Before]. The Cursor of an
	// entry from [Log.Tail] is also valid for [Query.After].
	Cursor string `json:"cursor,omitempty"`
	// Lost is the number of entries of the project since the previous entry that
	// were removed before a reader of [Log.Tail] could read them.
	Lost int `json:"lost,omitempty"`
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Limits of a query.
const (
	maxSearch  = 1000 // bytes of Search
	maxSources = 16   // words of Source
)

// Validate returns [lateen.ErrInvalid] for a malformed Status, Before or After, a
// too long Search, or a Source with too many words.
func (q *Query) Validate() error {
	_, err := q.where()
	if err == nil && q.After != "" {
		_, err = parseCursor(q.After)
	}
	return err
}

// Query returns entries, newest first, and whether there are more. Errors: those of
// [Query.Validate].
func (l *Log) Query(ctx context.Context, q Query) (entries []Entry, more bool, err error) {
	w, err := q.where()
	if err != nil {
		return nil, false, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	l.mu.RLock()
	defer l.mu.RUnlock()
	found, err := l.db.entries(ctx, w, "time DESC, id DESC LIMIT ? OFFSET ?", limit+1, max(q.Page, 0)*limit)
	if err != nil {
		return nil, false, err
	}
	if more = len(found) > limit; more {
		found = found[:limit]
	}
	if err := l.db.addLines(ctx, found, ""); err != nil {
		return nil, false, err
	}
	for _, f := range found {
		entries = append(entries, f.Entry)
	}
	return entries, more, nil
}

// where is a condition on entries with its arguments.
type where struct {
	text string
	args []any
}

func (w *where) and(condition string, args ...any) {
	w.text += " AND " + condition
	w.args = append(w.args, args...)
}

func (w *where) equal(column, value string) {
	if value != "" {
		w.and(column+" = ?", value)
	}
}

// where translates a query, except its page.
func (q *Query) where() (where, error) {
	w := where{text: "TRUE"}
	w.equal("project", string(q.Project))
	w.equal("deployment", string(q.Deployment))
	w.equal("target", string(q.Environment))
	w.equal("branch", q.Branch)
	if q.Request != "" {
		w.and("request <> '' AND request = ?", q.Request)
	}
	if q.Since != 0 {
		w.and("time >= ?", q.Since)
	}
	if q.Until != 0 {
		w.and("time < ?", q.Until)
	}
	if q.Status != "" {
		from, to, err := statuses(q.Status)
		if err != nil {
			return w, err
		}
		w.and("status BETWEEN ? AND ?", from, to)
	}
	if len(q.Levels) > 0 {
		w.levels(q.Levels)
	}
	if q.Source != "" {
		words := strings.Split(q.Source, ",")
		if len(words) > maxSources {
			return w, lateen.ErrInvalid.With("source has %d words; the limit is %d", len(words), maxSources)
		}
		if err := w.sources(words); err != nil {
			return w, err
		}
	}
	if len(q.Search) > maxSearch {
		return w, lateen.ErrInvalid.With("the search has %d bytes; the limit is %d", len(q.Search), maxSearch)
	}
	if q.Before != "" {
		var at, id int64
		if n, err := fmt.Sscanf(q.Before, "%d-%d", &at, &id); n != 2 || err != nil {
			return w, lateen.ErrInvalid.With("%.100q is not a cursor", q.Before).WithHint("use the cursor of an entry of the previous page")
		}
		w.and("(time, id) < (?, ?)", at, id)
	}
	if q.Search != "" {
		pattern := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(q.Search) + "%"
		w.and(`(path LIKE ? ESCAPE '\' OR EXISTS (SELECT 1 FROM lines WHERE entry = entries.id AND text LIKE ? ESCAPE '\'))`,
			pattern, pattern)
	}
	return w, nil
}

func (w *where) levels(levels []string) {
	bits := 0
	for _, level := range levels {
		bits |= levelBit(level)
	}
	if bits&levelBit(lateen.LevelInfo) != 0 {
		w.and("(levels & ? OR levels = 0)", bits)
	} else {
		w.and("levels & ?", bits)
	}
}

// statuses parses "404" or "4xx".
func statuses(text string) (from, to int, err error) {
	class, isClass := strings.CutSuffix(strings.ToLower(text), "xx")
	n, err := strconv.Atoi(class)
	switch {
	case err == nil && isClass && n >= 1 && n <= 5:
		return n * 100, n*100 + 99, nil
	case err == nil && !isClass && n >= 100 && n <= 599:
		return n, n, nil
	}
	return 0, 0, lateen.ErrInvalid.With("%q is not a status", text).WithHint("use 404, or 4xx for 400 to 499")
}

func (w *where) sources(sources []string) error {
	var or where
	for _, source := range sources {
		switch source {
		case "edge-middleware", "middleware":
			or.text += " OR middleware OR kind = 'middleware'"
		case "serverless":
			or.text += " OR kind IN ('function', 'prerender')"
		case "edge-function":
			or.text += " OR kind = 'edge'"
		case "static", "function", "prerender", "edge", "redirect", "external", "error", "platform":
			or.text += " OR kind = ?"
			or.args = append(or.args, source)
		default:
			return lateen.ErrInvalid.With("source %.100q does not exist", source).
				WithHint("use static, function, prerender, edge, middleware, redirect, external or error")
		}
	}
	w.and("("+strings.TrimPrefix(or.text, " OR ")+")", or.args...)
	return nil
}

// stored is an entry with its id.
type stored struct {
	Entry

	id       int64
	batch    int64 // batch that completed it; 0: none yet
	complete bool  // whether its record has arrived
	size     int   // size of its record as text
}

// entries returns the entries selected by w, without lines.
func (db *database) entries(ctx context.Context, w where, order string, args ...any) ([]stored, error) {
	rows, err := db.file.Read.QueryContext(ctx,
		`SELECT id, request, time, project, deployment, kind, batch, record FROM entries WHERE `+w.text+` ORDER BY `+order,
		append(w.args, args...)...)
	if err != nil {
		return nil, fmt.Errorf("read logs: %w", err)
	}
	defer rows.Close()
	var found []stored
	for rows.Next() {
		var s stored
		var text []byte
		if err := rows.Scan(&s.id, &s.ID, &s.Time, &s.Project, &s.Deployment, &s.Kind, &s.batch, &text); err != nil {
			return nil, err
		}
		if s.complete = text != nil; s.complete {
			s.Record = lateen.Record{}
			if err := json.Unmarshal(text, &s.Record); err != nil {
				return nil, fmt.Errorf("read record of %s: %w", s.ID, err)
			}
		}
		s.Cursor, s.size = fmt.Sprintf("%d-%d", s.Time, s.id), len(text)
		found = append(found, s)
	}
	return found, rows.Err()
}

// The limit of the text of lines that a reply holds in memory. Beyond it, lines are
// truncated.
const (
	maxAnswer = 16 << 20
	shortLine = 1 << 10
)

// addLines reads the lines of entries that match the condition and.
func (db *database) addLines(ctx context.Context, found []stored, and string, args ...any) error {
	byID := make(map[int64]*stored, len(found))
	ids := make([]int64, 0, len(found))
	for i := range found {
		byID[found[i].id] = &found[i]
		ids = append(ids, found[i].id)
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	rows, err := db.file.Read.QueryContext(ctx, `SELECT id, entry, time, level, source, function, instance, text, truncated
		FROM lines WHERE entry IN (SELECT value FROM json_each(?))`+and+` ORDER BY id`, append([]any{string(list)}, args...)...)
	if err != nil {
		return fmt.Errorf("read log lines: %w", err)
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		var row, id int64
		var line lateen.LogLine
		if err := rows.Scan(&row, &id, &line.Time, &line.Level, &line.Source, &line.Function, &line.Instance, &line.Text, &line.Truncated); err != nil {
			return err
		}
		if size > maxAnswer && len(line.Text) > shortLine {
			line.Text, line.Truncated = truncate(line.Text, shortLine), true
		}
		size += len(line.Text)
		e := byID[id]
		line.Request, line.Project, line.Deployment = e.ID, e.Project, e.Deployment
		e.Lines, e.Rows = append(e.Lines, line), append(e.Rows, row)
	}
	return rows.Err()
}
