package prerender

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
)

// fill returns the cache fill of the page. The fill calls the page's function with
// those parts of the request on which the page may depend, so that the response is
// valid for every client. extra are further fields for the function. invocation
// returns the invocation: complete after the end of the body, without the cost after
// the response's header or an error, and nil if the function was not called. Callers
// must not modify it.
//
// The cache fill may run after the end of the request, so it uses only immutable fields
// of it.
func (r *request) fill(spread cache.Propagation, extra http.Header) (how cache.Fill, invocation func() *lateen.Invocation) {
	latest := &atomic.Pointer[lateen.Invocation]{}
	functions, d, page, group := r.pages.o.Functions, r.Decision, r.Page, r.group
	id := rand.Text()
	k := *r.Call // with its hop count: the leading request is the only one in a loop of pages
	k.Client, k.Fill = r.anyClient(), id
	v := r.variant
	how = cache.Fill{Propagation: spread, Seen: r.seen, ID: id, Within: r.Fill, Client: r.Client.Network(), Group: r.members(&k, extra, latest)}
	how.Generate = func(ctx context.Context) (*cache.Response, error) {
		inv := new(lateen.Invocation)
		resp, err := functions.Call(ctx, &k, call.OutputOf(d), v.request(page, extra), inv) //nolint:bodyclose // the cache closes the body of the draft
		latest.Store(new(*inv))
		if err != nil {
			return nil, err
		}
		resp.Body = &selfClosingBody{ReadCloser: resp.Body, ended: func() { latest.Store(new(*inv)) }}
		return draftOf(resp, page, group), nil
	}
	return how, latest.Load
}

// anyClient returns a client of the page without an identity.
func (r *request) anyClient() call.Client {
	c := call.Client{Proto: r.Client.Proto, Host: r.Client.Hostname, Hostname: r.Client.Hostname}
	if r.pages.o.Port != "" {
		c.Host += ":" + r.pages.o.Port
	}
	return c
}

// selfClosingBody is a response's body that closes itself at its end, so that the
// invocation ends then, even if the page is still in use. It calls ended when it is
// closed.
type selfClosingBody struct {
	io.ReadCloser

	once  sync.Once
	ended func()
}

// Read implements [io.Reader].
func (b *selfClosingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.Close() // err already has the cause
	}
	return n, err
}

// Close ends the invocation.
func (b *selfClosingBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.ended)
	return err
}
