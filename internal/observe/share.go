package observe

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/lateen-dev/lateen"
)

// weighed is the approximate size of an entry in the file.
const weighed = `min(bytes, ?) + lines * ? + COALESCE(length(record), 0) + ?`

// usage is the approximate size of each project's entries in the file. Only the
// goroutine that writes the database uses it; nil is not counted yet.
type usage map[lateen.ProjectID]int64

// add adds written entries to the usage.
func (u usage) add(groups []*group, projects []lateen.ProjectID) {
	if u == nil {
		return
	}
	for i, g := range groups {
		n := int64(len(g.text) + overhead + len(g.lines)*overhead)
		for _, line := range g.lines {
			n += int64(len(line.Text))
		}
		u[projects[i]] += n
	}
}

// largest returns the project with the largest size, and its distance to the next
// project.
func (u usage) largest() (project lateen.ProjectID, ahead int64) {
	var most, next int64
	for p, n := range u {
		switch {
		case n > most:
			project, most, next = p, n, most
		case n > next:
			next = n
		}
	}
	return project, most - next
}

// count returns the usage of all entries.
func (db *database) count(ctx context.Context) (usage, error) {
	rows, err := db.file.Read.QueryContext(ctx, `SELECT project, SUM(`+weighed+`) FROM entries GROUP BY project`, MaxRequestBytes, overhead, overhead)
	if err != nil {
		return nil, fmt.Errorf("count the logs of projects: %w", err)
	}
	defer rows.Close()
	u := usage{}
	for rows.Next() {
		var project lateen.ProjectID
		var n int64
		if err := rows.Scan(&project, &n); err != nil {
			return nil, err
		}
		u[project] = n
	}
	return u, rows.Err()
}

// leastCut is the minimum number of bytes removed from the largest project at a
// time.
const leastCut = 64 << 10

// trimLargest removes the oldest entries of the largest project, and then of the
// next largest one, until it has removed excess bytes or so many entries that it has
// to let writers proceed. No project loses entries to a larger one.
func (db *database) trimLargest(ctx context.Context, excess int64) (more bool, err error) {
	if db.usage == nil {
		if db.usage, err = db.count(ctx); err != nil {
			return false, err
		}
	}
	for left := trimEntries; excess > 0 && left > 0; {
		project, ahead := db.usage.largest()
		ids, size, err := db.oldest(ctx, project, min(excess, max(ahead, leastCut)), left)
		if err != nil {
			return false, err
		}
		if len(ids) == 0 { // the counted usage does not match the entries
			db.usage = nil
			return false, nil
		}
		if err := db.removeAll(ctx, ids); err != nil {
			return false, err
		}
		db.usage[project] -= size
		if db.usage[project] <= 0 {
			delete(db.usage, project)
		}
		excess, left = excess-size, left-len(ids)
	}
	return excess > 0, nil
}

// oldest returns the oldest entries of a project with a total size of much: at least
// one entry, and no more than most.
func (db *database) oldest(ctx context.Context, project lateen.ProjectID, much int64, most int) (ids []int64, size int64, err error) {
	rows, err := db.file.Read.QueryContext(ctx, `SELECT id, `+weighed+` FROM entries WHERE project = ? ORDER BY time, id LIMIT ?`,
		MaxRequestBytes, overhead, overhead, project, most)
	if err != nil {
		return nil, 0, fmt.Errorf("read the oldest logs of a project: %w", err)
	}
	defer rows.Close()
	for size < much && rows.Next() {
		var id, n int64
		if err := rows.Scan(&id, &n); err != nil {
			return nil, 0, err
		}
		ids, size = append(ids, id), size+n
	}
	return ids, size, rows.Err()
}

// removeAll deletes entries and their lines.
func (db *database) removeAll(ctx context.Context, ids []int64) error {
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	return db.remove(ctx, "IN (SELECT value FROM json_each(?))", string(list))
}
