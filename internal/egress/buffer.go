package egress

import (
	"sync"

	"github.com/lateen-dev/lateen/internal/fairqueue"
	"github.com/lateen-dev/lateen/internal/netdev"
)

const (
	chunkBytes = int64(len(netdev.Buffer{})) // usual maximum of the bytes of a move
	moveBytes  = 1 << 10                     // cost of a move besides its bytes
)

// buffers is a pool with a bounded number of buffers, one for each move of bytes. A user
// of a buffer only computes until it returns the buffer, so that every waiting project
// gets one. Among projects that wait, the one that has moved the fewest bytes is next, by
// [fairqueue.Clock].
type buffers struct {
	mu      sync.Mutex // guards the fields below
	idle    []*netdev.Buffer
	left    int // unused buffers, allocated or not
	clock   fairqueue.Clock
	waiting []*project // projects that wait for buffers
}

// account is the bytes that a project has moved, and its waiting users. It
// belongs to [buffers].
type account struct {
	fairqueue.Account

	waiters []chan *netdev.Buffer // waiting users in the order of arrival
}

func newBuffers(most int) *buffers { return &buffers{left: most} }

// get returns a buffer once it is the turn of the project.
func (b *buffers) get(p *project) *netdev.Buffer {
	b.mu.Lock()
	if len(p.moved.waiters) == 0 {
		b.clock.Join(&p.moved.Account)
	}
	if b.left > 0 {
		b.left--
		buf := b.takeIdleLocked()
		b.clock.Serve(&p.moved.Account, float64(chunkBytes), 1)
		b.mu.Unlock()
		return buf
	}
	turn := make(chan *netdev.Buffer, 1)
	if len(p.moved.waiters) == 0 {
		b.waiting = append(b.waiting, p)
	}
	p.moved.waiters = append(p.moved.waiters, turn)
	b.mu.Unlock()
	return <-turn
}

// put returns a buffer to the pool and records the number of bytes moved with it.
func (b *buffers) put(p *project, buf *netdev.Buffer, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock.Correct(&p.moved.Account, float64(chunkBytes), float64(bytes)+moveBytes, 1)
	if len(b.waiting) == 0 {
		b.left++
		b.idle = append(b.idle, buf)
		return
	}
	next := 0
	for i, other := range b.waiting {
		if other.moved.Before(&b.waiting[next].moved.Account) {
			next = i
		}
	}
	served := b.waiting[next]
	b.clock.Serve(&served.moved.Account, float64(chunkBytes), 1)
	served.moved.waiters[0] <- buf
	if served.moved.waiters = served.moved.waiters[1:]; len(served.moved.waiters) == 0 {
		served.moved.waiters = nil
		b.waiting = append(b.waiting[:next], b.waiting[next+1:]...)
	}
}

func (b *buffers) takeIdleLocked() *netdev.Buffer {
	if n := len(b.idle); n > 0 {
		buf := b.idle[n-1]
		b.idle = b.idle[:n-1]
		return buf
	}
	return new(netdev.Buffer)
}

// intake has the buffers for an attachment's device.
type intake struct {
	a     *Attachment
	p     *project // project that uses the buffer
	moved int      // bytes moved with the buffer
}

// Get takes a buffer from the pool.
func (i *intake) Get() *netdev.Buffer {
	i.p, i.moved = i.a.project.Load(), 0
	return i.a.network.buffers.get(i.p)
}

// Put returns the buffer.
func (i *intake) Put(buf *netdev.Buffer) { i.a.network.buffers.put(i.p, buf, i.moved) }

// take counts a packet and passes it to the attachment.
func (i *intake) take(packet []byte) {
	i.moved += len(packet)
	i.a.receive(packet)
}
