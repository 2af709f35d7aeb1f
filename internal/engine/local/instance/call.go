package instance

import (
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
)

// call is an open request of an instance.
type call struct {
	i       *Instance
	id      uint64
	request lateen.RequestID
	ended   chan struct{} // closed when the call has ended; fault is set before
	fault   *guest.Fault
	due     time.Time // time at which the engine ends the call without a message of the process
}

func (c *call) over() bool { return isClosed(c.ended) }

// calls are the requests of an instance; the owner must hold its lock.
type calls struct {
	last   uint64
	open   map[uint64]*call
	recent [64]struct { // the latest calls to end, as background work of them may still write logs
		id      uint64
		request lateen.RequestID
	}
}

// add opens a call of i for a request.
func (c *calls) add(i *Instance, request lateen.RequestID, due time.Time) *call {
	c.last++
	opened := &call{i: i, id: c.last, request: request, due: due, ended: make(chan struct{})}
	if c.open == nil {
		c.open = map[uint64]*call{}
	}
	c.open[opened.id] = opened
	return opened
}

// end closes a call.
func (c *calls) end(id uint64, fault *guest.Fault) {
	opened := c.open[id]
	if opened == nil {
		return
	}
	delete(c.open, id)
	past := &c.recent[id%uint64(len(c.recent))]
	past.id, past.request = id, opened.request
	opened.fault = fault
	close(opened.ended)
}

// endDue ends the calls that are due, and returns their number.
func (c *calls) endDue(now time.Time) (running int) {
	for id, opened := range c.open {
		if now.Before(opened.due) {
			continue
		}
		running++
		c.end(id, nil)
	}
	return running
}

// endAll ends all calls.
func (c *calls) endAll() {
	for id := range c.open {
		c.end(id, nil)
	}
}

// request returns the request ID of a call; "" if it is unknown or ended long ago.
func (c *calls) request(id uint64) lateen.RequestID {
	if opened := c.open[id]; opened != nil {
		return opened.request
	}
	if past := c.recent[id%uint64(len(c.recent))]; past.id == id {
		return past.request
	}
	return ""
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
