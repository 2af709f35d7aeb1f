package cli

import (
	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// pageFlags select a page of a list, newest first.
type pageFlags struct {
	limit int
	next  int64
}

// add adds the flags to a command. most is the default limit.
func (f *pageFlags) add(c *cobra.Command, most int, items string) {
	c.Flags().IntVarP(&f.limit, "limit", "n", most, "maximum `number` of "+items)
	c.Flags().Int64Var(&f.next, "next", 0, "continue a list at the `mark` at its end")
}

// pagination is the position in a list, as in responses of the API.
type pagination struct {
	Count int            `json:"count"` // items listed
	Next  *lateen.Millis `json:"next"`  // for --next; null: nothing follows
	Prev  *lateen.Millis `json:"prev"`  // null: lists continue to older entries alone
}

// pages collects the items of a list that comes in pages.
func pages[T any](f *pageFlags, get func(client.Page) ([]T, lateen.Millis, error)) ([]T, pagination, error) {
	if f.limit < 1 {
		return nil, pagination{}, command.ErrUsage.With("--limit %d is out of range", f.limit).WithHint("use 1 or more")
	}
	if f.next < 0 {
		return nil, pagination{}, command.ErrUsage.With("--next %d is not a mark", f.next).WithHint("use the mark at the end of the previous list")
	}
	list, until := []T{}, lateen.Millis(f.next)
	for len(list) < f.limit {
		items, next, err := get(client.Page{Until: until, Limit: min(f.limit-len(list), 100)})
		if err != nil {
			return nil, pagination{}, err
		}
		list = append(list, items...)
		if until = next; next == 0 || len(items) == 0 {
			break
		}
	}
	out := pagination{Count: len(list)}
	if until == 0 || len(list) == 0 {
		return list, out, nil
	}
	more, _, err := get(client.Page{Until: until, Limit: 1}) // a full page may be the last
	if len(more) > 0 {
		out.Next = &until
	}
	return list, out, err
}

// tellMore explains how to list further items.
func (s *session) tellMore(p pagination, shown int, item string) {
	if p.Next != nil {
		s.Term.Linef("Showing the first %s. Show more with --limit, or the next ones with --next %d.", terminal.Count(shown, item), *p.Next)
	}
}
