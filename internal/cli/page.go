package cli

import (
	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// pageFlags choose a part of a list, newest first.
type pageFlags struct {
	limit int
	next  int64
}

// add gives a command the flags. most is how many items it lists by itself.
func (f *pageFlags) add(c *cobra.Command, most int, items string) {
	c.Flags().IntVarP(&f.limit, "limit", "n", most, "`number` of "+items+" at most")
	c.Flags().Int64Var(&f.next, "next", 0, "go on at this `mark`, which the list before ended with")
}

// pagination says how a list goes on, as in the replies of the API.
type pagination struct {
	Count int            `json:"count"` // items listed
	Next  *lateen.Millis `json:"next"`  // for --next; null: nothing follows
	Prev  *lateen.Millis `json:"prev"`  // null: lists go on to what is older alone
}

// pages collects the items of a list that comes in pages.
func pages[T any](f *pageFlags, get func(client.Page) ([]T, lateen.Millis, error)) ([]T, pagination, error) {
	if f.limit < 1 {
		return nil, pagination{}, command.ErrUsage.With("--limit is %d: 1 or more", f.limit)
	}
	if f.next < 0 {
		return nil, pagination{}, command.ErrUsage.With("--next is %d: the mark that the list before ended with", f.next)
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

// tellMore says that a list goes on, and how to see that.
func (s *session) tellMore(p pagination, shown int, item string) {
	if p.Next != nil {
		s.Term.Linef("These are the first %s; --limit shows more, --next %d what follows.", terminal.Count(shown, item), *p.Next)
	}
}
