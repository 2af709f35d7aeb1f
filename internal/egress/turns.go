package egress

import (
	"sync"

	"github.com/lateen-dev/lateen/internal/link"
	"github.com/lateen-dev/lateen/internal/rounds"
)

const (
	pieceBytes = int64(len(link.Buffer{})) // the most that is moved in a turn, as a rule
	turnBytes  = 1 << 10                   // what a turn costs besides the bytes that it moves
)

// turns lends a bounded number of buffers, and with each the turn to move bytes.
// A borrower waits for nothing but processor time until it gives the buffer
// back, so that every turn comes. Where projects wait for a buffer, the project
// that has moved the fewest bytes is next, as [rounds.Clock] has it.
type turns struct {
	mu      sync.Mutex // guards below
	idle    []*link.Buffer
	left    int // buffers that may be lent besides
	clock   rounds.Clock
	waiting []*project // with borrowers that wait
}

// account is what a project has moved, and its borrowers that wait. It belongs
// to [turns].
type account struct {
	rounds.Account

	line []chan *link.Buffer // first come, first served
}

func newTurns(most int) *turns { return &turns{left: most} }

// borrow returns a buffer once it is the project's turn.
func (t *turns) borrow(p *project) *link.Buffer {
	t.mu.Lock()
	if len(p.moved.line) == 0 {
		t.clock.Join(&p.moved.Account)
	}
	if t.left > 0 {
		t.left--
		room := t.takeIdleLocked()
		t.clock.Serve(&p.moved.Account, float64(pieceBytes), 1)
		t.mu.Unlock()
		return room
	}
	turn := make(chan *link.Buffer, 1)
	if len(p.moved.line) == 0 {
		t.waiting = append(t.waiting, p)
	}
	p.moved.line = append(p.moved.line, turn)
	t.mu.Unlock()
	return <-turn
}

// giveBack returns a buffer and says how many bytes were moved with it.
func (t *turns) giveBack(p *project, room *link.Buffer, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock.Correct(&p.moved.Account, float64(pieceBytes), float64(bytes)+turnBytes, 1)
	if len(t.waiting) == 0 {
		t.left++
		t.idle = append(t.idle, room)
		return
	}
	next := 0
	for i, other := range t.waiting {
		if other.moved.Before(&t.waiting[next].moved.Account) {
			next = i
		}
	}
	served := t.waiting[next]
	t.clock.Serve(&served.moved.Account, float64(pieceBytes), 1)
	served.moved.line[0] <- room
	if served.moved.line = served.moved.line[1:]; len(served.moved.line) == 0 {
		served.moved.line = nil
		t.waiting = append(t.waiting[:next], t.waiting[next+1:]...)
	}
}

func (t *turns) takeIdleLocked() *link.Buffer {
	if n := len(t.idle); n > 0 {
		room := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return room
	}
	return new(link.Buffer)
}

// intake lends an attachment's device its buffers.
type intake struct {
	a     *Attachment
	p     *project // that the buffer was lent to
	moved int      // bytes since
}

// Get borrows a buffer.
func (i *intake) Get() *link.Buffer {
	i.p, i.moved = i.a.project.Load(), 0
	return i.a.network.turns.borrow(i.p)
}

// Put gives it back.
func (i *intake) Put(room *link.Buffer) { i.a.network.turns.giveBack(i.p, room, i.moved) }

// take counts a packet and hands it to the attachment.
func (i *intake) take(packet []byte) {
	i.moved += len(packet)
	i.a.receive(packet)
}
