package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen"
)

// The least pace of a body: while the platform waits for one, it must get
// paceBytes of it, or its end, in each paceWindow. That is 1 KiB a second.
const (
	paceBytes  = 16 << 10
	paceWindow = 16 * time.Second
)

var errSlow = &lateen.Error{
	Code: lateen.Timeout, Reason: "upload_too_slow", Message: "the request's body comes too slowly: 16 KiB are expected in 16 seconds",
	Hint: "deploy again, over a faster connection or with --archive=tgz",
}

// pace is the body of a request, cut off with [errSlow] where it trickles. Only
// the time counts that the platform waits for the client.
type pace struct {
	io.ReadCloser

	cut func() // breaks off a read that is under way

	got    int           // bytes in this window
	waited time.Duration // in this window
	slow   bool
}

// newPace returns the body of r at a least pace.
func newPace(w http.ResponseWriter, r *http.Request) *pace {
	deadlines := http.NewResponseController(w)
	return &pace{ReadCloser: r.Body, cut: func() { _ = deadlines.SetReadDeadline(time.Unix(1, 0)) }}
}

// Read reads on.
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
