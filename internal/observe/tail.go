package observe

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/lateen-dev/lateen"
)

// A reader takes so many entries from the database at once, and no more once they
// and their lines have so many bytes: it holds them for as long as its caller pleases.
const (
	tailPage  = 100
	tailBytes = 256 << 10
)

// reader is a caller that follows the log.
type reader struct {
	project lateen.ProjectID // "": all
	news    chan struct{}    // has a value when there may be something to read; closed when the log ends

	at   position // in the order of recording, never late; guarded by readers.mu
	lost int      // entries; guarded by readers.mu
}

// readers are all callers that follow the log.
type readers struct {
	mu     sync.Mutex // guards below
	all    map[*reader]struct{}
	lost   uint64
	closed bool
}

// Tail follows what q chooses, its Page, Limit and Before aside, in the order of
// recording: first what was recorded after q.After, then what comes, until ctx
// or the log's Run ends. A request comes once it has ended, with its lines so
// far; later lines of it, and lines outside of any request, come as they are
// written. The sequence reads from the database at the pace of its caller, so a
// slow caller loses only entries that are removed before their turn; Lost of the
// next entry counts them. A malformed q chooses none.
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

// yieldFrom yields what w chooses after c, as far as batches are written, and
// returns how far it came and whether the caller wants more.
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
		if err != nil { // the next news are another try
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

// lateLines reads the lines that the batches of c's span added to entries that
// were complete before.
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

// addSomeLines is addLines for as many of the first as a reader takes at once, which
// it returns.
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

// tell wakes the readers of some projects, and waits for none.
func (rs *readers) tell(projects []lateen.ProjectID) {
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

// pass notes that a reader has read as far as c.
func (rs *readers) pass(r *reader, c cursor) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r.at = c.complete()
}

// removed counts an entry that was removed as lost to the readers that had not
// come to it.
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

// close ends all sequences after what is written.
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
