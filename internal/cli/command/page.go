package command

import (
	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// PageFlags select a page of a list, newest first.
type PageFlags struct {
	limit int
	next  int64
}

// Add adds the flags to a command. most is the default limit.
func (f *PageFlags) Add(c *cobra.Command, most int, items string) {
	c.Flags().IntVarP(&f.limit, "limit", "n", most, "maximum `number` of "+items)
	c.Flags().Int64Var(&f.next, "next", 0, "continue a list at the `mark` at its end")
}

// Pagination is the position in a list, as in responses of the API.
type Pagination struct {
	Count int            `json:"count"` // items listed
	Next  *lateen.Millis `json:"next"`  // for --next; null: nothing follows
	Prev  *lateen.Millis `json:"prev"`  // null: lists continue to older entries alone
}

// pages collects the items of a list that comes in pages.
func pages[T any](f *PageFlags, get func(client.Page) ([]T, lateen.Millis, error)) ([]T, Pagination, error) {
	if f.limit < 1 {
		return nil, Pagination{}, ErrUsage.With("--limit %d is out of range", f.limit).WithHint("use 1 or more")
	}
	if f.next < 0 {
		return nil, Pagination{}, ErrUsage.With("--next %d is not a mark", f.next).WithHint("use the mark at the end of the previous list")
	}
	list, until := []T{}, lateen.Millis(f.next)
	for len(list) < f.limit {
		items, next, err := get(client.Page{Until: until, Limit: min(f.limit-len(list), 100)})
		if err != nil {
			return nil, Pagination{}, err
		}
		list = append(list, items...)
		if until = next; next == 0 || len(items) == 0 {
			break
		}
	}
	out := Pagination{Count: len(list)}
	if until == 0 || len(list) == 0 {
		return list, out, nil
	}
	more, _, err := get(client.Page{Until: until, Limit: 1}) // a full page may be the last
	if len(more) > 0 {
		out.Next = &until
	}
	return list, out, err
}

// List prints the items of a list that comes in pages.
type List[T any] struct {
	Field   string // of the items in JSON
	Item    string // noun of an item
	Empty   string // text of an empty list
	Columns []terminal.Column
	Row     func(*T) []string // cells of an item
	Page    func(client.Page) ([]T, lateen.Millis, error)
}

// Print prints the part of a list that flags select.
func (l *List[T]) Print(s *Session, f *PageFlags) error {
	items, next, err := pages(f, l.Page)
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		return s.Term.JSON(map[string]any{l.Field: items, "pagination": next})
	}
	if len(items) == 0 {
		s.Term.Linef("%s", l.Empty)
		return nil
	}
	rows := make([][]string, 0, len(items))
	for i := range items {
		rows = append(rows, l.Row(&items[i]))
	}
	s.Term.Table(l.Columns, rows)
	if next.Next != nil {
		s.Term.Linef("Showing the first %s. Show more with --limit, or the next ones with --next %d.", terminal.Count(len(items), l.Item), *next.Next)
	}
	return nil
}
