package observe

import (
	"fmt"
	"math"

	"github.com/lateen-dev/lateen"
)

// position is a place in the order of recording within a span of batches: the
// entries that these batches completed come first, by batch and id, then the
// older entries to which they added lines, by id.
type position struct {
	late  bool  // among the entries with late lines
	batch int64 // not used where late
	id    int64
}

// end returns the position after all.
func end() position { return position{late: true, id: math.MaxInt64} }

// cursor is how far a reader of [Log.Tail] has come: it has had all of the
// batches up to from, and of those above, up to upTo, what is up to at. What
// committed batches hold does not change, so a cursor stays good after the
// reader and the program are gone.
type cursor struct {
	from, upTo int64
	at         position
}

// complete is the position up to which the reader has had complete entries.
func (c cursor) complete() position {
	if c.at.late {
		return position{batch: c.upTo, id: math.MaxInt64}
	}
	return position{batch: max(c.from, c.at.batch), id: c.at.id}
}

// after reports whether p comes after q; both are of complete entries.
func (p position) after(q position) bool {
	return p.batch > q.batch || p.batch == q.batch && p.id > q.id
}

// next is the cursor of a reader that goes on from c to the batch head.
func (c cursor) next(head int64) cursor { return cursor{from: c.upTo, upTo: head} }

// text encodes c as the cursor of an entry. It begins with the time and the id,
// as [Query.Before] takes them.
func (c cursor) text(at lateen.Millis) string {
	late := 0
	if c.at.late {
		late = 1
	}
	return fmt.Sprintf("%d-%d-%d-%d-%d-%d", at, c.at.id, c.from, c.upTo, late, c.at.batch)
}

// parseCursor decodes what text encodes. Errors: [lateen.ErrInvalid].
func parseCursor(text string) (c cursor, err error) {
	var at int64
	var late int
	n, err := fmt.Sscanf(text, "%d-%d-%d-%d-%d-%d", &at, &c.at.id, &c.from, &c.upTo, &late, &c.at.batch)
	if n != 6 || err != nil || c.from > c.upTo {
		return cursor{}, lateen.ErrInvalid.With("%.100q is not a cursor of a followed log", text).WithHint("take it from an entry that was sent with follow=1")
	}
	c.at.late = late != 0
	return c, nil
}

// Latest returns the cursor, for [Query.After], after everything that is
// written now.
func (l *Log) Latest() string {
	head := l.head.Load()
	return cursor{from: head, upTo: head, at: end()}.text(0)
}
