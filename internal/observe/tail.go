package observe

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/lateen-dev/lateen"
)

// Limits of the entries that a reader takes from the database at a time. A reader
// holds the entries, with their lines, in memory while its caller processes them.
const (
	tailPage  = 100
	tailBytes = 256 << 10
)

// reader is a caller that follows the log.
type reader struct {
	project lateen.ProjectID // "": all
	news    chan struct{}    // has a value if there may be new entries; closed at the end of the log

	at   position // in the order of recording, never late; guarded by readers.mu
	lost int      // number of lost entries; guarded by readers.mu
}

// readers are all callers that follow the log.
type readers struct {
	mu     sync.Mutex // guards the fields below
	all    map[*reader]struct{}
	lost   uint64
	closed bool
}

// Tail yields the entries of q in the order of recording: first those after q.After,
// then new ones, until ctx or the log's Run ends. It ignores Page, Limit and Before.
// A request is yielded when it has ended, with its lines so far; its later lines,
// and lines outside any request, are yielded when they are written. The sequence
// reads from the database at the pace of its caller. A slow caller therefore misses
// only entries that are removed before it reads them; Lost of the next entry counts
// those. A malformed q selects no entry.
func (l *Log) Tail(ctx context.Context, q Query) iter.Seq[Entry] {
	if q.After == "" {
		q.After = l.Latest()
	}
	return func(yield func(Entry) bool) {
		w, err := q.where()
		if err != nil {
			return
		}
		c, err := parseCursor(q.After)
		if err != nil {
			return
		}
		r := l.readers.add(q.Project, c)
		defer l.readers.remove(r)
		for open := true; ; {
			var more bool
			if c, more = l.yieldFrom(ctx, r, w, c, yield); !more || !open {
				return
			}
			select {
			case <-ctx.Done():
				return
			case _, open = <-r.news:
			}
		}
	}
}

// yieldFrom yields the written entries selected by w after c. It returns the new
// cursor, and whether the caller wants more.
func (l *Log) yieldFrom(ctx context.Context, r *reader, w where, c cursor, yield func(Entry) bool) (cursor, bool) {
	for {
		if c.at == end() {
			head := l.head.Load()
			if head <= c.upTo {
				return c, true
			}
			c = c.next(head)
		}
		page, next, err := l.page(ctx, w, c)
		if err != nil { // retried at the next notification
			return c, true
		}
		l.readers.pass(r, next)
		for _, s := range page {
			s.Lost = l.readers.takeLost(r)
			if !yield(s.Entry) {
				return c, false
			}
		}
		c = next
	}
}

// page reads entries after c in its span, and returns the cursor after them.
func (l *Log) page(ctx context.Context, w where, c cursor) ([]stored, cursor, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if c.at.late {
		return l.db.lateLines(ctx, w, c)
	}
	w.and("batch > ? AND batch <= ? AND (batch, id) > (?, ?)", c.from, c.upTo, c.at.batch, c.at.id)
	found, err := l.db.entries(ctx, w, "batch, id LIMIT ?", tailPage)
	if err != nil {
		return nil, c, err
	}
	whole := len(found) < tailPage
	cut, err := l.db.addSomeLines(ctx, found, " AND id < ?", firstLine(c.upTo+1))
	if err != nil {
		return nil, c, err
	}
	whole, found = whole && len(cut) == len(found), cut
	for i := range found {
		c.at = position{batch: found[i].batch, id: found[i].id}
		found[i].Cursor = c.text(found[i].Time)
	}
	if whole {
		c.at = position{late: true}
	}
	return found, c, nil
}

// lateLines reads the lines that the batches of c's span added to entries completed
// before.
func (db *database) lateLines(ctx context.Context, w where, c cursor) ([]stored, cursor, error) {
	w.and("changed > batch AND changed > ? AND batch BETWEEN 1 AND ? AND id > ?", c.from, c.from, c.at.id)
	found, err := db.entries(ctx, w, "id LIMIT ?", tailPage)
	if err != nil {
		return nil, c, err
	}
	whole := len(found) < tailPage
	cut, err := db.addSomeLines(ctx, found, " AND id >= ? AND id < ?", firstLine(c.from+1), firstLine(c.upTo+1))
	if err != nil {
		return nil, c, err
	}
	whole, found = whole && len(cut) == len(found), cut
	list := found[:0]
	for _, s := range found {
		c.at.id = s.id
		if len(s.Lines) > 0 {
			s.Cursor = c.text(s.Time)
			list = append(list, s)
		}
	}
	if whole {
		c.at = end()
	}
	return list, c, nil
}

// addSomeLines adds the lines to the first entries, up to the limit of a reader, and
// returns these entries.
func (db *database) addSomeLines(ctx context.Context, found []stored, and string, args ...any) ([]stored, error) {
	size := 0
	for i := range found {
		if err := db.addLines(ctx, found[i:i+1], and, args...); err != nil {
			return nil, err
		}
		size += found[i].size
		for _, line := range found[i].Lines {
			size += len(line.Text)
		}
		if size >= tailBytes {
			return slices.Clone(found[:i+1]), nil
		}
	}
	return found, nil
}

func (rs *readers) add(project lateen.ProjectID, c cursor) *reader {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := &reader{project: project, news: make(chan struct{}, 1), at: c.complete()}
	if rs.closed {
		close(r.news)
		return r
	}
	if rs.all == nil {
		rs.all = map[*reader]struct{}{}
	}
	rs.all[r] = struct{}{}
	return r
}

func (rs *readers) remove(r *reader) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.all, r)
}

// notify notifies the readers of some projects, without blocking.
func (rs *readers) notify(projects []lateen.ProjectID) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.all) == 0 {
		return
	}
	concerned := make(map[lateen.ProjectID]bool, len(projects))
	for _, p := range projects {
		concerned[p] = true
	}
	for r := range rs.all {
		if r.project == "" || concerned[r.project] {
			signal(r.news)
		}
	}
}

// pass records that a reader has read as far as c.
func (rs *readers) pass(r *reader, c cursor) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r.at = c.complete()
}

// removed counts removed entries as lost for the readers that had not read them.
func (rs *readers) removed(list []removal) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := range rs.all {
		for _, e := range list {
			if (r.project == "" || r.project == e.project) && e.at.after(r.at) {
				r.lost++
				rs.lost++
			}
		}
	}
}

func (rs *readers) takeLost(r *reader) int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	n := r.lost
	r.lost = 0
	return n
}

// close ends all sequences after the written entries.
func (rs *readers) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
	for r := range rs.all {
		close(r.news)
	}
	clear(rs.all)
}

func (rs *readers) stats() (n int, lost uint64) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.all), rs.lost
}
