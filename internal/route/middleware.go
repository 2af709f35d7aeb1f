package route

import (
	"context"
	"errors"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// The headers in which a middleware instructs the platform.
const (
	headerNext      = "X-Middleware-Next"             // 1: continue
	headerRewrite   = "X-Middleware-Rewrite"          // continue with this URL
	headerOverride  = "X-Middleware-Override-Headers" // names of all request headers to forward
	headerRequest   = "X-Middleware-Request-"         // prefix of the value of each
	headerSetCookie = "X-Middleware-Set-Cookie"       // cookies that the output sees in the same request
	headerRefresh   = "X-Middleware-Refresh"          // the older form of next
)

// middleware runs the middleware at output and applies its response. It returns true
// if that decides the request.
//
//   - No response, or x-middleware-next: the request continues.
//   - x-middleware-rewrite: it continues with another path and query, which the
//     output sees as its own; on another host the decision is External.
//   - x-middleware-override-headers: the request has these headers from here on.
//   - Other headers are set on the response, and on the request.
//   - Neither of the first two: the response is the Answer.
//   - An error, or a bare 500: the request fails.
func (w *walk) middleware(ctx context.Context, output string) bool {
	if slices.Contains(w.ran, output) {
		return false
	}
	w.ran = append(w.ran, output)
	resp, err := w.runMiddleware(ctx, output)
	switch {
	case ctx.Err() != nil:
		if resp != nil && resp.Body != nil {
			resp.Body.Close()
		}
		w.err = ctx.Err()
		return true
	case err != nil:
		reason := ReasonMiddlewareFailed
		if e, ok := errors.AsType[*lateen.Error](err); ok && e.Reason != "" {
			reason = e.Reason
		}
		w.Cause = err
		return w.fail(http.StatusInternalServerError, reason)
	case resp == nil:
		return false
	}
	rewrite := resp.Header.Get(headerRewrite)
	continues := rewrite != "" || resp.Header.Get(headerNext) == "1" || resp.Header.Get(headerRefresh) == "1"
	empty := resp.Body == nil || resp.Body == http.NoBody
	if !continues && resp.Status == http.StatusInternalServerError && empty {
		return w.fail(http.StatusInternalServerError, ReasonMiddlewareFailed)
	}
	if !continues {
		w.Status, w.Answer = resp.Status, &MiddlewareResponse{Status: resp.Status, Header: ownHeader(resp.Header), Body: resp.Body}
		return w.decide(Answer)
	}
	if !empty {
		resp.Body.Close()
	}
	w.takeHeader(resp.Header)
	return rewrite != "" && w.rewrite(rewrite)
}

func (w *walk) runMiddleware(ctx context.Context, output string) (*MiddlewareResponse, error) {
	if w.run == nil {
		return nil, errors.New("middleware cannot run here")
	}
	req := *w.req
	req.Path, req.RawQuery, req.Header = urlPath(newSubject(w.path).encoded), w.ownQuery, w.header
	return w.run(ctx, output, &req)
}

// takeHeader applies a middleware's response header to the request and the response.
func (w *walk) takeHeader(h http.Header) {
	before := w.sent.header
	w.header = afterMiddleware(w.header, h)
	if w.sent.header = w.header; w.transformed {
		w.sent.header = afterMiddleware(before, h)
	}
	for key, values := range h {
		if passes(key) && key != headerSetCookie {
			w.fields = append(w.fields, field{key: key, values: values})
		}
	}
}

// afterMiddleware returns the header of a request after a middleware's response with
// h: first overrides, then the headers that are set on request and response.
func afterMiddleware(request, h http.Header) http.Header {
	if names, ok := h[headerOverride]; ok {
		request = overridden(request, strings.Join(names, ","), h)
	} else {
		request = cloneHeader(request)
	}
	for key, values := range h {
		if passes(key) && key != "Set-Cookie" {
			request[key] = values
		}
	}
	return request
}

// passes reports whether a field of a middleware's response applies to the request
// and the response.
func passes(key string) bool {
	return !isControlHeader(key) && !isConnectionHeader(key) && key != "Date" && key != "Content-Type" && key != "Content-Encoding"
}

// overridden returns the headers that names lists, each with its value from h, and
// the headers of the connection from old.
func overridden(old http.Header, names string, h http.Header) http.Header {
	header := make(http.Header, len(old))
	for key, values := range old {
		if isConnectionHeader(key) {
			header[key] = values
		}
	}
	for name := range strings.SplitSeq(names, ",") {
		key := textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		values := h[textproto.CanonicalMIMEHeaderKey(headerRequest+key)]
		if key != "" && !isConnectionHeader(key) && values != nil {
			header[key] = values
		}
	}
	return header
}

// rewrite continues with target, absolute or relative to the root of the request's
// host. It returns true if the target is on another host.
func (w *walk) rewrite(target string) bool {
	if _, absolute := cutScheme(target); absolute {
		u, err := url.Parse(target)
		if err != nil {
			w.Cause = err
			return w.fail(http.StatusInternalServerError, ReasonMiddlewareFailed)
		}
		if !sameHost(u.Host, w.req.Host) {
			w.Target, w.query, _ = strings.Cut(target, "?")
			return w.decide(External)
		}
		target = target[strings.Index(target, "://")+len("://")+len(u.Host):]
	}
	target, _, _ = strings.Cut(target, "#")
	path, query, _ := strings.Cut(target, "?")
	w.query, w.sent.query, w.ownQuery, w.path = query, query, query, rooted(path)
	w.moveTo(w.path)
	return false
}

// sameHost compares hosts without default ports: behind a proxy the scheme is not
// known.
func sameHost(a, b string) bool {
	strip := func(host string) string {
		return strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(host), ":443"), ":80")
	}
	return strip(a) == strip(b)
}

// ownHeader is the header of a middleware's final response without its instructions
// to the platform.
func ownHeader(h http.Header) http.Header {
	own := make(http.Header, len(h))
	for key, values := range h {
		if !isControlHeader(key) && key != headerSetCookie && !isConnectionHeader(key) {
			own[key] = values
		}
	}
	return own
}

func isControlHeader(key string) bool {
	switch key {
	case headerNext, headerRewrite, headerOverride, headerRefresh:
		return true
	default:
		return strings.HasPrefix(key, headerRequest)
	}
}

// isConnectionHeader reports whether key concerns only this connection and message.
// A middleware must not change it.
func isConnectionHeader(key string) bool {
	switch key {
	case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Te", "Upgrade", "Trailer":
		return true
	default:
		return false
	}
}
