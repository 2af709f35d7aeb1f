package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"time"
)

const (
	// idleLimit is the longest silence of a followed log: the platform sends an empty
	// line every 15 seconds.
	idleLimit    = 45 * time.Second
	maxReconnect = 15 * time.Second // the longest pause before a lost log is asked for again
	cursorHeader = "X-Lateen-Cursor"
)

// errIdle ends a connection on which nothing arrives.
var errIdle = errors.New("nothing arrived for " + idleLimit.String())

// FollowEntries yields requests as they end, until ctx ends. If the
// connection is lost, or nothing arrives on it for 45 seconds, it yields an
// [ErrUnreachable] and connects again, after a pause that grows from 200 ms to
// 15 s, at the cursor of the last entry: no request is missed and none comes
// twice. Any other error is the last value.
func (c *Client) FollowEntries(ctx context.Context, q LogQuery) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for length := firstPause; ; length = min(2*length, maxReconnect) {
			began := q.After
			err := c.followOnce(ctx, &q, yield)
			if err == nil || ctx.Err() != nil {
				return
			}
			if q.After != began {
				length = firstPause // it worked for a while
			}
			wait, again := retry(err, false)
			if !again {
				yield(Entry{}, err.error)
				return
			}
			if !yield(Entry{}, ErrUnreachable.With("the stream of %s was lost", c.BaseURL).Because(err.error)) {
				return
			}
			if !pause(ctx, max(wait, length/2+rand.N(length/2))) {
				return
			}
		}
	}
}

// followOnce yields the entries of one connection and advances q.After. It returns nil
// after yield has returned false, else the reason of the end.
func (c *Client) followOnce(ctx context.Context, q *LogQuery, yield func(Entry, error) bool) *failure {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(idleLimit, func() { cancel(errIdle) })
	defer idle.Stop()
	query := q.values()
	query.Set("follow", "1")
	resp, failed := c.try(ctx, entriesCall(q.Project, query))
	if failed != nil {
		return failed
	}
	defer resp.Body.Close()
	idle.Reset(idleLimit)
	if begin := resp.Header.Get(cursorHeader); begin != "" {
		q.After = begin
	}
	reason := io.ErrUnexpectedEOF // a platform that stops ends the stream
	for e, err := range values[Entry](ctx, &activeReader{resp.Body, idle}) {
		if err != nil {
			reason = err
			break
		}
		if e.Cursor != "" {
			q.After = e.Cursor
		}
		if !yield(e, nil) {
			return nil
		}
	}
	return &failure{error: reason}
}

// activeReader postpones the end of an idle connection with each byte.
type activeReader struct {
	io.Reader

	idle *time.Timer
}

// Read implements [io.Reader].
func (r *activeReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if n > 0 {
		r.idle.Reset(idleLimit)
	}
	return n, err
}

// values yields the JSON values of a stream, one a line, as lines reads them.
func values[T any](ctx context.Context, body io.Reader) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) { lines(ctx, body, yield) }
}
