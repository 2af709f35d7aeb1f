package observe

import (
	"context"
	"encoding/json"
	"iter"
	"sync"

	"github.com/lateen-dev/lateen"
)

// readerQueue is how many batches wait for a reader; unless very much comes
// there are ten of them a second at most.
const readerQueue = 64

// reader is who follows the log.
type reader struct {
	project lateen.ProjectID // "": all
	news    chan changes
	lost    int // guarded by readers.mu
}

// readers are all who follow the log.
type readers struct {
	mu     sync.Mutex // guards below
	all    map[*reader]struct{}
	lost   uint64
	closed bool
}

// Tail follows what q chooses, its Page and Limit aside, from the moment the
// sequence is read until ctx or the log's Run ends. A request comes once it
// has ended, with its lines so far; later lines of it, and lines outside of any,
// come as they are written. A reader that is too slow loses entries and is told
// how many by the next one's Lost. A malformed q chooses none.
func (l *Log) Tail(ctx context.Context, q Query) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		w, err := q.where()
		if err != nil {
			return
		}
		r := l.readers.add(q.Project)
		defer l.readers.remove(r)
		for {
			select {
			case <-ctx.Done():
				return
			case c, ok := <-r.news:
				if !ok || !l.yieldNews(ctx, r, w, c, yield) {
					return
				}
			}
		}
	}
}

// yieldNews hands on what w chooses of c, and reports whether to go on.
func (l *Log) yieldNews(ctx context.Context, r *reader, w where, c changes, yield func(Entry) bool) bool {
	news, err := l.news(ctx, w, c)
	if err != nil {
		l.readers.lose(r, len(c.entries))
	}
	for _, s := range news {
		s.Lost = l.readers.takeLost(r)
		if !yield(s.Entry) {
			return false
		}
	}
	return true
}

// news reads what w chooses of c: first the requests that have ended, then
// the lines that came late or outside of any.
func (l *Log) news(ctx context.Context, w where, c changes) ([]stored, error) {
	var ended, other []int64
	for _, e := range c.entries {
		if e.recorded {
			ended = append(ended, e.id)
		} else {
			other = append(other, e.id)
		}
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	requests, err := l.db.chosen(ctx, w, ended, 0, c.upTo)
	if err != nil {
		return nil, err
	}
	w.and("(request = '' OR record IS NOT NULL)") // else its lines come when it ends
	lines, err := l.db.chosen(ctx, w, other, c.after, c.upTo)
	return append(requests, lines...), err
}

// chosen returns those of the entries called ids that w chooses, with their
// lines of ids above after and up to upTo.
func (db *database) chosen(ctx context.Context, w where, ids []int64, after, upTo int64) ([]stored, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	w.and("id IN (SELECT value FROM json_each(?))", string(list))
	found, err := db.entries(ctx, w, "id")
	if err != nil {
		return nil, err
	}
	return found, db.addLines(ctx, found, " AND id > ? AND id <= ?", after, upTo)
}

func (rs *readers) add(project lateen.ProjectID) *reader {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := &reader{project: project, news: make(chan changes, readerQueue)}
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

// tell hands changes to the readers they may concern, and waits for none.
func (rs *readers) tell(c changes) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := range rs.all {
		mine := c.of(r.project)
		if len(mine.entries) == 0 {
			continue
		}
		select {
		case r.news <- mine:
		default:
			rs.loseLocked(r, len(mine.entries))
		}
	}
}

// of returns the changes that concern a project; "" is all.
func (c changes) of(project lateen.ProjectID) changes {
	if project == "" {
		return c
	}
	mine := changes{after: c.after, upTo: c.upTo}
	for _, e := range c.entries {
		if e.project == project {
			mine.entries = append(mine.entries, e)
		}
	}
	return mine
}

func (rs *readers) lose(r *reader, n int) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.loseLocked(r, n)
}

func (rs *readers) loseLocked(r *reader, n int) {
	r.lost += n
	rs.lost += uint64(n) //nolint:gosec // a length
}

func (rs *readers) takeLost(r *reader) int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	n := r.lost
	r.lost = 0
	return n
}

// close ends all sequences after what they were told.
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
