package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen"
)

// The minimum rate of a body: while the platform reads, it must receive paceBytes or
// the end of the body in each paceWindow. That is 1 KiB per second.
const (
	paceBytes  = 16 << 10
	paceWindow = 16 * time.Second
)

var errSlow = &lateen.Error{
	Code: lateen.Timeout, Reason: "upload_too_slow", Message: "the request's body is too slow: the minimum is 16 KiB in 16 seconds",
	Hint: "deploy again, over a faster connection or with --archive=tgz",
}

// pace is the body of a request, ended with [errSlow] if it is too slow. Only the
// time counts in which the platform waits for the client.
type pace struct {
	io.ReadCloser

	cut func() // interrupts a read in progress

	got    int           // bytes received in this window
	waited time.Duration // time spent waiting in this window
	slow   bool
}

// newPace returns the body of r with a minimum rate.
func newPace(w http.ResponseWriter, r *http.Request) *pace {
	deadlines := http.NewResponseController(w)
	return &pace{ReadCloser: r.Body, cut: func() { _ = deadlines.SetReadDeadline(time.Unix(1, 0)) }}
}

// Read implements [io.Reader].
func (p *pace) Read(b []byte) (int, error) {
	if p.slow {
		return 0, errSlow
	}
	began := time.Now()
	timer := time.AfterFunc(paceWindow-p.waited, p.cut)
	n, err := p.ReadCloser.Read(b)
	p.got += n
	p.waited += time.Since(began)
	switch fired := !timer.Stop(); {
	case errors.Is(err, io.EOF):
		return n, err
	case p.got >= paceBytes && !fired:
		p.got, p.waited = 0, 0
	case fired || p.waited >= paceWindow:
		p.slow = true
		return 0, errSlow
	}
	return n, err
}
