package local

import (
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
)

// call is a request that an instance has not ended yet.
type call struct {
	id      uint64
	request lateen.RequestID
	ended   chan struct{} // closed once it is over; fault is set before
	fault   *guest.Fault
	due     time.Time // when it is over, whatever the process says
}

func (c *call) over() bool { return isClosed(c.ended) }

// calls are the requests of an instance; their owner guards them.
type calls struct {
	last uint64
	open map[uint64]*call
	past [64]struct { // the last to end: what runs on behind them may still write
		id      uint64
		request lateen.RequestID
	}
}

// add opens a call for a request.
func (c *calls) add(request lateen.RequestID, due time.Time) *call {
	c.last++
	opened := &call{id: c.last, request: request, due: due, ended: make(chan struct{})}
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
	past := &c.past[id%uint64(len(c.past))]
	past.id, past.request = id, opened.request
	opened.fault = fault
	close(opened.ended)
}

// endDue closes those that are due, and says how many there were.
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

// endAll closes all.
func (c *calls) endAll() {
	for id := range c.open {
		c.end(id, nil)
	}
}

// request returns which request a number stands for; "" for none, or one long past.
func (c *calls) request(id uint64) lateen.RequestID {
	if opened := c.open[id]; opened != nil {
		return opened.request
	}
	if past := c.past[id%uint64(len(c.past))]; past.id == id {
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
