package prerender

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
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/route"
)

// shellType is the media type of a partially prerendered page of Next.js: the
// postponed state, whose length is the parameter state-length, followed by the static
// shell, whose own media type is the parameter origin.
const shellType = "application/x-nextjs-pre-render"

// shell describes a cached page that its function completes for each request.
type shell struct {
	state       int64  // length of the postponed state; negative if the page does not tell
	contentType string // media type of the response
}

// shellOf reads the header h of a cached page. ok reports whether the page is a shell
// that the page's chain completes.
func (r *request) shellOf(h http.Header) (s shell, ok bool) {
	if r.Page.Chain == nil || !strings.HasPrefix(h.Get("Content-Type"), shellType) {
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

// resume answers with a shell followed by the rest of the page. After the shell is
// sent, the function gets the state by POST and responds with the rest. If the page
// has only the state, the function's response is the complete response. The protocol
// is that of Next.js' minimal mode.
func (r *request) resume(s shell, status int, h http.Header, body io.Reader) error {
	if c, ok := body.(io.Closer); ok {
		defer c.Close()
	}
	delete(h, "Content-Length")
	delete(h, "Etag") // it is the tag of the shell with its state
	h["Content-Type"] = []string{cmp.Or(s.contentType, "text/html; charset=utf-8")}
	if r.HTTP.Method == http.MethodHead {
		r.Response.Respond(status, h, nil)
		return nil
	}
	if static := r.prefetch(); static != nil {
		return r.Response.Output(static)
	}
	state, rest, err := r.split(s, body)
	if err != nil {
		return err
	}
	if rest != nil {
		r.Response.Respond(status, h, &resumption{shell: rest, resume: func() (*http.Response, error) { return r.postponed(state) }})
		return nil
	}
	resp, err := r.postponed(state) //nolint:bodyclose // relay closes it
	if err != nil {
		return err
	}
	return r.Response.Relay(resp)
}

// split reads the state of a page and returns the reader of its shell as rest, nil if
// it has none. For a page that is shorter than its state, both are nil: the function
// then renders the whole page.
func (r *request) split(s shell, page io.Reader) (state []byte, rest io.Reader, err error) {
	if s.state < 0 {
		return nil, nil, nil
	}
	if state, err = r.Response.Gather(io.LimitReader(page, s.state)); err != nil || int64(len(state)) < s.state {
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

// prefetch returns the decision for the static part of the data that a router prefetches,
// which is an output of its own. It is nil for any other request.
func (r *request) prefetch() *route.Decision {
	page, data := strings.CutSuffix(r.Decision.Output, ".rsc")
	if !data || r.Decision.RequestHeader["Next-Router-Prefetch"] == nil {
		return nil
	}
	d := *r.Decision
	d.Output = page + ".segments/_full.segment.rsc"
	if _, ok := r.Site.Manifest.Prerenders[d.Output]; !ok {
		return nil
	}
	return &d
}

// postponed calls the function of the page's chain to render the postponed parts for
// this request. Without a state the function renders the whole page.
func (r *request) postponed(state []byte) (*http.Response, error) {
	h := header.Onward(r.Decision.RequestHeader)
	header.DropConditions(h)
	delete(h, "Content-Type")
	for name, value := range r.Page.Chain.Headers {
		h[http.CanonicalHeaderKey(name)] = []string{value}
	}
	d := *r.Decision
	d.Output = r.Page.Chain.Output
	req := &http.Request{
		Method: http.MethodPost, URL: call.PathURL(d.Path, d.Query), Header: h, Host: r.Client.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(state)), ContentLength: int64(len(state)),
	}
	r.Record.Invocation = &lateen.Invocation{}
	return r.pages.o.Functions.Call(r.HTTP.Context(), r.Call, call.OutputOf(&d), req, r.Record.Invocation)
}

// resumption is a body of a shell and the rest of the page. It requests the rest after
// the shell has been read.
type resumption struct {
	shell  io.Reader
	resume func() (*http.Response, error)
	rest   *http.Response
}

// Read implements [io.Reader]. It returns all of the shell before it requests the rest.
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
			return 0, err // already an error of the exchange with its cause
		}
		if status := r.rest.StatusCode; status >= http.StatusInternalServerError { // its body is an error page, not the rest of this page
			return 0, lateen.ErrFunctionFailed.With("the function answered %d in place of the rest of the page", status)
		}
	}
	return r.rest.Body.Read(p)
}

// Close ends the invocation.
func (r *resumption) Close() error {
	if r.rest == nil {
		return nil
	}
	return r.rest.Body.Close()
}
