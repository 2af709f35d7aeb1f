package datacache

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"
)

// remoteTimeout bounds a request of a [Remote].
const remoteTimeout = 5 * time.Second

// Remote is a [Cache] in another process, which connects by [Remote.Attach]. Without a
// connection its methods return [ErrUnavailable]. The zero value is ready.
type Remote struct {
	mu     sync.Mutex // guards the fields below
	link   *link
	closed bool
}

// link is a connection to the other process.
type link struct {
	conn io.ReadWriteCloser

	writing sync.Mutex // serializes requests

	mu    sync.Mutex // guards the fields below
	last  uint64
	waits map[uint64]chan<- answer // nil once the link has ended
}

// answer is a reply with its value.
type answer struct {
	reply

	body []byte
}

// Attach uses a connection, in place of an earlier one, until it ends, and closes it.
func (r *Remote) Attach(conn io.ReadWriteCloser) {
	l := &link{conn: conn, waits: map[uint64]chan<- answer{}}
	r.mu.Lock()
	old := r.link
	if r.closed {
		old = l
	} else {
		r.link = l
	}
	r.mu.Unlock()
	if old != nil {
		_ = old.conn.Close() // its reader ends it
	}
	l.read()
	_ = conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == l {
		r.link = nil
	}
}

// Close ends the connection, and takes no further one.
func (r *Remote) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.link != nil {
		_ = r.link.conn.Close() // its reader ends it
	}
}

// read passes the replies on until the link ends.
func (l *link) read() {
	defer l.end()
	for {
		var a answer
		size, err := readHead(l.conn, &a.reply)
		if err != nil {
			return
		}
		a.body = make([]byte, size)
		if _, err := io.ReadFull(l.conn, a.body); err != nil {
			return
		}
		l.mu.Lock()
		if wait := l.waits[a.ID]; wait != nil {
			wait <- a
			delete(l.waits, a.ID)
		}
		l.mu.Unlock()
	}
}

// end fails the waiting requests.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, wait := range l.waits {
		close(wait)
	}
	l.waits = nil
}

// call sends a request and returns its answer, whose status is not that of a failure.
func (r *Remote) call(ctx context.Context, q request, body []byte) (a answer, err error) {
	r.mu.Lock()
	l := r.link
	r.mu.Unlock()
	if l == nil {
		return a, ErrUnavailable
	}
	ctx, cancel := context.WithTimeoutCause(ctx, remoteTimeout, ErrUnavailable)
	defer cancel()
	wait := make(chan answer, 1)
	id, ok := l.expect(wait)
	if !ok {
		return a, ErrUnavailable
	}
	defer l.forget(id)
	q.ID = id
	if err := l.send(&q, body); err != nil {
		return a, ErrUnavailable
	}
	select {
	case a, ok = <-wait:
	case <-ctx.Done():
		return a, context.Cause(ctx)
	}
	if !ok || a.Status == statusUnavailable {
		return a, ErrUnavailable
	}
	return a, nil
}

// expect registers a request; false if the link has ended.
func (l *link) expect(wait chan<- answer) (id uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waits == nil {
		return 0, false
	}
	l.last++
	l.waits[l.last] = wait
	return l.last, true
}

func (l *link) forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waits, id)
}

func (l *link) send(q *request, body []byte) error {
	head, err := encodeHead(q, int64(len(body)))
	if err != nil {
		return err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if _, err = l.conn.Write(append(head, body...)); err != nil {
		_ = l.conn.Close() // it may carry a part of a frame
	}
	return err
}

// Get implements [Cache].
func (r *Remote) Get(ctx context.Context, o Owner, key string, soft []string) (Value, error) {
	a, err := r.call(ctx, request{Op: opGet, Owner: &o, Key: key, Tags: soft}, nil)
	if err != nil {
		return Value{}, err
	}
	v := Value{State: State(a.Status), Now: a.Now, Meta: a.Meta, Size: int64(len(a.body))}
	if v.State != Miss {
		v.Body = io.NopCloser(bytes.NewReader(a.body))
	}
	return v, nil
}

// Put implements [Cache].
func (r *Remote) Put(ctx context.Context, o Owner, key string, v Item) (bool, error) {
	q := request{Op: opPut, Owner: &o, Key: key, Tags: v.Tags, Meta: v.Meta, Started: v.Started}
	if v.Usable > 0 {
		q.Usable = secondsOf(v.Usable)
	}
	a, err := r.call(ctx, q, v.Body)
	return a.Status == statusDone, err
}

// Invalidate implements [Cache].
func (r *Remote) Invalidate(ctx context.Context, o Owner, v Invalidation) error {
	_, err := r.call(ctx, request{Op: opInvalidate, Owner: &o, Tags: v.Tags, Grace: secondsOf(v.Grace), Name: v.ID}, nil)
	return err
}
