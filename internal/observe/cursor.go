package observe

import (
	"fmt"
	"math"

	"github.com/lateen-dev/lateen"
)

// position is a place in the order of recording within a span of batches. The
// entries that these batches completed come first, by batch and id. The older
// entries to which they added lines follow, by id.
type position struct {
	late  bool  // among the entries with late lines
	batch int64 // unused if late
	id    int64
}

// end returns the position after all others.
func end() position { return position{late: true, id: math.MaxInt64} }

// cursor is the progress of a reader of [Log.Tail]: it has read all batches up to
// from, and the batches above, up to upTo, as far as at. Committed batches do not
// change, so a cursor stays valid after the end of the reader and of the program.
type cursor struct {
	from, upTo int64
	at         position
}

// complete returns the position up to which the reader has read complete entries.
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

// next returns the cursor of a reader that continues from c to the batch head.
func (c cursor) next(head int64) cursor { return cursor{from: c.upTo, upTo: head} }

// text encodes c as the cursor of an entry. It begins with the time and the id, the
// form of [Query.Before].
func (c cursor) text(at lateen.Millis) string {
	late := 0
	if c.at.late {
		late = 1
	}
	return fmt.Sprintf("%d-%d-%d-%d-%d-%d", at, c.at.id, c.from, c.upTo, late, c.at.batch)
}

// parseCursor decodes the result of text. Errors: [lateen.ErrInvalid].
func parseCursor(text string) (c cursor, err error) {
	var at int64
	var late int
	n, err := fmt.Sscanf(text, "%d-%d-%d-%d-%d-%d", &at, &c.at.id, &c.from, &c.upTo, &late, &c.at.batch)
	if n != 6 || err != nil || c.from > c.upTo {
		return cursor{}, lateen.ErrInvalid.With("%.100q is not a cursor of a followed log", text).WithHint("use the cursor of an entry from a request with follow=1")
	}
	c.at.late = late != 0
	return c, nil
}

// Latest returns the cursor after all written entries, for [Query.After].
func (l *Log) Latest() string {
	head := l.head.Load()
	return cursor{from: head, upTo: head, at: end()}.text(0)
}
