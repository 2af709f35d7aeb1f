package worker

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/lateen-dev/lateen"
)

// call is the first message of an invocation: the function, the request without its
// body, and the values of its context.
type call struct {
	id      string // chosen by the client, unique
	spec    lateen.FunctionSpec
	inv     lateen.Invocation
	request lateen.RequestID
	client  string // network address of the client of the request

	method, host string
	url          url.URL
	header       http.Header
	length       int64 // Content-Length; -1 if unknown
	body         bool  // whether the request has a body
	trailer      []string
}

// newCall returns the call that invokes a function with req.
func newCall(ctx context.Context, id string, spec *lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) *call {
	return &call{
		id: id, spec: *spec, inv: *inv, request: lateen.RequestIDFrom(ctx), client: lateen.ClientFrom(ctx),
		method: req.Method, host: req.Host, url: *req.URL, header: req.Header, length: req.ContentLength,
		body: hasBody(req), trailer: slices.Collect(maps.Keys(req.Trailer)),
	}
}

// hasBody reports whether a request has a body to send.
func hasBody(req *http.Request) bool {
	return req.Body != nil && req.Body != http.NoBody && req.ContentLength != 0
}

// encode returns the call as a frame.
func (c *call) encode() ([]byte, error) {
	e := newEncoder()
	e.text(c.id)
	e.text(string(c.request))
	e.text(c.client)
	e.text(c.method)
	e.text(c.host)
	for _, part := range [...]string{c.url.Scheme, c.url.Opaque, c.url.Host, c.url.Path, c.url.RawPath, c.url.RawQuery} {
		e.text(part)
	}
	e.header(c.header)
	e.number(c.length)
	e.flag(c.body)
	e.number(int64(len(c.trailer)))
	for _, name := range c.trailer {
		e.text(name)
	}
	if err := errors.Join(e.json(&c.inv), e.json(&c.spec)); err != nil {
		return nil, err
	}
	return e.frame(kindHead), nil
}

// decodeCall reads the payload that [call.encode] wrote.
func decodeCall(payload []byte) (*call, error) {
	d, c := decoder{b: payload}, new(call)
	c.id, c.request, c.client = d.text(), lateen.RequestID(d.text()), d.text()
	c.method, c.host = d.text(), d.text()
	for _, part := range [...]*string{&c.url.Scheme, &c.url.Opaque, &c.url.Host, &c.url.Path, &c.url.RawPath, &c.url.RawQuery} {
		*part = d.text()
	}
	c.header, c.length, c.body = d.header(), d.number(), d.flag()
	c.trailer = make([]string, d.count())
	for i := range c.trailer {
		c.trailer[i] = d.text()
	}
	d.json(&c.inv)
	d.json(&c.spec)
	return c, d.end()
}

// request returns the request without its body.
func (c *call) newRequest(ctx context.Context) *http.Request {
	req := &http.Request{
		Method: c.method, URL: &c.url, Host: c.host, Header: c.header, ContentLength: c.length,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if len(c.trailer) > 0 {
		req.Trailer = make(http.Header, len(c.trailer))
		for _, name := range c.trailer {
			req.Trailer[name] = nil
		}
	}
	return req.WithContext(ctx)
}

// answer is a response without its body.
type answer struct {
	status int
	header http.Header
	length int64
	inv    lateen.Invocation
}

func (a *answer) encode() ([]byte, error) {
	e := newEncoder()
	e.number(int64(a.status))
	e.number(a.length)
	e.header(a.header)
	err := e.json(&a.inv)
	return e.frame(kindHead), err
}

func decodeAnswer(payload []byte) (*answer, error) {
	d, a := decoder{b: payload}, new(answer)
	a.status, a.length, a.header = int(d.number()), d.number(), d.header()
	d.json(&a.inv)
	return a, d.end()
}

// ending is the last message of a body or an invocation. That of a request has no
// invocation.
type ending struct {
	trailer http.Header
	err     error // reason for which the body or the invocation ended early, or nil
	inv     lateen.Invocation
}

func (m *ending) encode() ([]byte, error) {
	e := newEncoder()
	e.header(m.trailer)
	err := errors.Join(e.json(faultOf(m.err)), e.json(&m.inv))
	return e.frame(kindEnd), err
}

func decodeEnding(payload []byte) (*ending, error) {
	d, m := decoder{b: payload}, new(ending)
	m.trailer = d.header()
	var f *fault
	d.json(&f)
	d.json(&m.inv)
	m.err = f.err()
	return m, d.end()
}
