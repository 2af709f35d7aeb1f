package edge

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// shellType is the media type of a partially prerendered page of Next.js: the
// postponed state, whose length is the parameter state-length, and behind it the
// shell, whose own media type is the parameter origin.
const shellType = "application/x-nextjs-pre-render"

// shell describes a kept page that its function completes for each request.
type shell struct {
	state       int64  // bytes before the shell; negative where the page does not tell
	contentType string // of the response
}

// shellOf reads from the header of a kept page whether it is a shell that the page's
// chain completes.
func (r *rendering) shellOf(h http.Header) (s shell, ok bool) {
	if r.page.Chain == nil || !strings.HasPrefix(h.Get("Content-Type"), shellType) {
		return s, false
	}
	_, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	s.contentType = params["origin"]
	if n, malformed := strconv.ParseInt(params["state-length"], 10, 64); err == nil && malformed == nil {
		s.state = n
	} else {
		s.state = -1
	}
	return s, true
}

// reply answers with a kept page, or with one as it is made: a shell is completed by
// the function of the page's chain. It closes body if that is an [io.Closer].
func (r *rendering) reply(status int, h http.Header, body io.Reader) {
	if s, ok := r.shellOf(h); ok {
		r.resume(s, status, h, body)
	} else {
		r.respond(status, h, body)
	}
}

// resume answers with a shell, and behind it the rest of the page, for which the
// function gets the state by POST once the shell is on its way. Where the page has
// nothing but the state, the function's response is the whole one. The protocol is
// that of Next.js' minimal mode.
func (r *rendering) resume(s shell, status int, h http.Header, body io.Reader) {
	if c, ok := body.(io.Closer); ok {
		defer c.Close()
	}
	delete(h, "Content-Length")
	delete(h, "Etag") // of the shell and its state
	h["Content-Type"] = []string{cmp.Or(s.contentType, "text/html; charset=utf-8")}
	if r.req.Method == http.MethodHead {
		r.respond(status, h, nil)
		return
	}
	if r.prefetch() {
		return
	}
	state, rest, err := r.split(s, body)
	if err != nil {
		r.fail(err)
		return
	}
	if rest != nil {
		r.respond(status, h, &resumption{shell: rest, resume: func() (*http.Response, error) { return r.postponed(state) }})
		return
	}
	resp, err := r.postponed(state) //nolint:bodyclose // relay closes it
	if err != nil {
		r.fail(err)
		return
	}
	r.relay(resp)
}

// split reads the state of a page. What is left to read is its shell; nil is none.
// A page that is shorter than its state is made from nothing.
func (r *rendering) split(s shell, page io.Reader) (state []byte, rest io.Reader, err error) {
	if s.state < 0 {
		return nil, nil, nil
	}
	if state, err = r.gather(io.LimitReader(page, s.state)); err != nil || int64(len(state)) < s.state {
		return nil, nil, err
	}
	buffered := bufio.NewReader(page)
	switch _, err := buffered.Peek(1); {
	case errors.Is(err, io.EOF):
		return state, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return state, buffered, nil
}

// prefetch answers a router's prefetch of data with its static part, which the build
// keeps as an output of its own, and reports whether there is one.
func (r *rendering) prefetch() bool {
	page, data := strings.CutSuffix(r.d.Output, ".rsc")
	if !data || r.d.RequestHeader["Next-Router-Prefetch"] == nil {
		return false
	}
	d := *r.d
	d.Output = page + ".segments/_full.segment.rsc"
	static, ok := r.site.Manifest.Prerenders[d.Output]
	if ok {
		r.edge.servePrerender(r.exchange, &d, &static)
	}
	return ok
}

// postponed has the function of the page's chain render the postponed parts for this
// request. Without a state the function renders the whole page.
func (r *rendering) postponed(state []byte) (*http.Response, error) {
	h := onwardHeader(r.d.RequestHeader)
	dropConditions(h)
	delete(h, "Content-Type")
	for name, value := range r.page.Chain.Headers {
		h[http.CanonicalHeaderKey(name)] = []string{value}
	}
	d := *r.d
	d.Output = r.page.Chain.Output
	req := &http.Request{
		Method: http.MethodPost, URL: pathURL(d.Path, d.Query), Header: h, Host: r.client.host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(state)), ContentLength: int64(len(state)),
	}
	r.record.Invocation = &lateen.Invocation{}
	return r.edge.call(r.req.Context(), r.exchange, &d, req, r.record.Invocation)
}

// resumption is a shell, and the rest of the page, which is asked for when the shell
// has been read.
type resumption struct {
	shell  io.Reader
	resume func() (*http.Response, error)
	rest   *http.Response
}

// Read reads on. It returns what is left of the shell before the rest is asked for.
func (r *resumption) Read(p []byte) (n int, err error) {
	if r.shell != nil {
		if n, err = r.shell.Read(p); errors.Is(err, io.EOF) {
			r.shell, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	if r.rest == nil {
		if r.rest, err = r.resume(); err != nil { //nolint:bodyclose // Close does
			return 0, err // the exchange's own, which names its cause
		}
		if status := r.rest.StatusCode; status >= http.StatusInternalServerError { // with a page of its own, which is no rest of this one
			return 0, lateen.ErrFunctionFailed.With("the function answered %d in place of the rest of the page", status)
		}
	}
	return r.rest.Body.Read(p)
}

// Close ends the call.
func (r *resumption) Close() error {
	if r.rest == nil {
		return nil
	}
	return r.rest.Body.Close()
}
