package egress

import (
	"sync"

	"github.com/lateen-dev/lateen/internal/fairqueue"
	"github.com/lateen-dev/lateen/internal/netdev"
)

const (
	chunkBytes = int64(len(netdev.Buffer{})) // usual maximum of the bytes moved in a turn
	turnBytes  = 1 << 10                     // cost of a turn besides the bytes that it moves
)

// turns lends a bounded number of buffers; a borrowed buffer is the turn to move
// bytes. A borrower only computes until it returns the buffer, so that every waiting
// project gets its turn. Among projects that wait, the one that has moved the fewest
// bytes is next, by [fairqueue.Clock].
type turns struct {
	mu      sync.Mutex // guards the fields below
	idle    []*netdev.Buffer
	left    int // buffers that may still be lent, besides the borrowed ones
	clock   fairqueue.Clock
	waiting []*project // projects with waiting borrowers
}

// account is the bytes that a project has moved, and its waiting borrowers. It
// belongs to [turns].
type account struct {
	fairqueue.Account

	waiters []chan *netdev.Buffer // waiting borrowers in the order of arrival
}

func newTurns(most int) *turns { return &turns{left: most} }

// borrow returns a buffer once the project has its turn.
func (t *turns) borrow(p *project) *netdev.Buffer {
	t.mu.Lock()
	if len(p.moved.waiters) == 0 {
		t.clock.Join(&p.moved.Account)
	}
	if t.left > 0 {
		t.left--
		buf := t.takeIdleLocked()
		t.clock.Serve(&p.moved.Account, float64(chunkBytes), 1)
		t.mu.Unlock()
		return buf
	}
	turn := make(chan *netdev.Buffer, 1)
	if len(p.moved.waiters) == 0 {
		t.waiting = append(t.waiting, p)
	}
	p.moved.waiters = append(p.moved.waiters, turn)
	t.mu.Unlock()
	return <-turn
}

// giveBack returns a buffer and records the number of bytes moved with it.
func (t *turns) giveBack(p *project, buf *netdev.Buffer, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock.Correct(&p.moved.Account, float64(chunkBytes), float64(bytes)+turnBytes, 1)
	if len(t.waiting) == 0 {
		t.left++
		t.idle = append(t.idle, buf)
		return
	}
	next := 0
	for i, other := range t.waiting {
		if other.moved.Before(&t.waiting[next].moved.Account) {
			next = i
		}
	}
	served := t.waiting[next]
	t.clock.Serve(&served.moved.Account, float64(chunkBytes), 1)
	served.moved.waiters[0] <- buf
	if served.moved.waiters = served.moved.waiters[1:]; len(served.moved.waiters) == 0 {
		served.moved.waiters = nil
		t.waiting = append(t.waiting[:next], t.waiting[next+1:]...)
	}
}

func (t *turns) takeIdleLocked() *netdev.Buffer {
	if n := len(t.idle); n > 0 {
		buf := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return buf
	}
	return new(netdev.Buffer)
}

// intake lends buffers to an attachment's device.
type intake struct {
	a     *Attachment
	p     *project // borrower of the buffer
	moved int      // bytes moved with the buffer
}

// Get borrows a buffer.
func (i *intake) Get() *netdev.Buffer {
	i.p, i.moved = i.a.project.Load(), 0
	return i.a.network.turns.borrow(i.p)
}

// Put returns the buffer.
func (i *intake) Put(buf *netdev.Buffer) { i.a.network.turns.giveBack(i.p, buf, i.moved) }

// take counts a packet and passes it to the attachment.
func (i *intake) take(packet []byte) {
	i.moved += len(packet)
	i.a.receive(packet)
}
