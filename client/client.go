// Package client is a client of the API of a Lateen platform.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
)

// Client calls the API of a platform with the credentials of a user. Its methods may be
// called concurrently; its fields must not change meanwhile. Errors that the platform
// or its absence causes are of the type [lateen.Error].
type Client struct {
	BaseURL   string       // http://127.0.0.1:8080
	Token     string       // secret
	Team      string       // id or slug; "" is the first team of the token's user
	HTTP      *http.Client // nil is a plain one
	UserAgent string       // "" is lateen
}

// Errors of a client itself.
var (
	ErrUnreachable = &lateen.Error{Code: lateen.Unavailable, Reason: "platform_unreachable", Message: "the platform does not answer", Hint: "start it with `lateen up`, or pass its address with --api"}
	ErrResponse    = &lateen.Error{Code: lateen.Internal, Reason: "platform_response_invalid", Message: "the response is not from a Lateen platform", Hint: "check the address of --api"}
)

const (
	tries      = 4                      // of a call that may be repeated
	firstPause = 200 * time.Millisecond // between them, then doubled
	maxPause   = 10 * time.Second
	maxError   = 64 << 20 // bytes of an error's body: it may list every file of a deployment
)

// call is one request.
type call struct {
	method string
	path   string
	query  url.Values
	in     any // JSON; nil is no body
	out    any // JSON; nil is ignored

	body   func() (io.ReadCloser, error) // opened for each try, instead of in
	size   int64                         // of body
	header http.Header

	// atMostOnce is true for a call that is not idempotent: it is repeated only if the
	// response guarantees that the platform did not execute it.
	atMostOnce bool
}

// do sends a call, retries it if that is safe and useful, and reads the response.
func (c *Client) do(ctx context.Context, k call) error {
	resp, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if k.out == nil || resp.StatusCode == http.StatusNoContent {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(k.out); err != nil {
		return ErrResponse.With("%s %s answered something that is not understood", k.method, k.path).Because(err)
	}
	return nil
}

// send returns the response of a call that succeeded, its body to be closed.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	length := firstPause
	for try := 1; ; try++ {
		resp, err := c.try(ctx, k)
		if err == nil {
			return resp, nil
		}
		wait, again := retry(err, k.atMostOnce)
		if !again || try == tries || ctx.Err() != nil {
			if k.atMostOnce && err.unanswered {
				return nil, unanswered{err.error}
			}
			return nil, err.error
		}
		if !pause(ctx, min(maxPause, max(wait, length/2+rand.N(length)))) {
			return nil, context.Cause(ctx)
		}
		length *= 2
	}
}

// unanswered is the error of a call that the platform may have executed.
type unanswered struct{ error }

func (u unanswered) Unwrap() error { return u.error }

// Unanswered reports whether err is of a call that was sent and got no response: the
// change that it requested may have been made.
func Unanswered(err error) bool {
	_, ok := errors.AsType[unanswered](err)
	return ok
}

// pause waits and reports true, or false at once when ctx ends.
func pause(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// failure is a try that failed.
type failure struct {
	error

	status     int           // of the response; 0 is none
	after      time.Duration // that the platform asks to wait
	unanswered bool          // the request was sent; it has no response of the platform
}

// retry reports whether a failed try is worth another, and after how long.
func retry(f *failure, atMostOnce bool) (time.Duration, bool) {
	switch f.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return f.after, true
	case 0, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return 0, !atMostOnce
	}
	return 0, false
}

func (c *Client) try(ctx context.Context, k call) (*http.Response, *failure) {
	req, err := c.request(ctx, k)
	if err != nil {
		return nil, &failure{error: err, status: http.StatusBadRequest}
	}
	client := c.HTTP
	if client == nil {
		client = &http.Client{}
	}
	var sent atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}))
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, &failure{error: context.Cause(ctx), unanswered: sent.Load()}
		}
		if own, ok := errors.AsType[*lateen.Error](err); ok { // of the body: another try would not help
			return nil, &failure{error: own, status: http.StatusBadRequest}
		}
		f := unreachable(c.BaseURL, err)
		f.unanswered = sent.Load()
		return nil, f
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	f := &failure{error: decodeError(resp), status: resp.StatusCode}
	f.unanswered = f.status == http.StatusBadGateway || f.status == http.StatusGatewayTimeout // of a proxy
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		f.after = time.Duration(seconds) * time.Second
	}
	return nil, f
}

// unreachable returns the error of a call that got no response. A host name that does
// not exist and an untrusted certificate are not worth a retry.
func unreachable(base string, err error) *failure {
	dns, noName := errors.AsType[*net.DNSError](err)
	cert, noTrust := errors.AsType[*tls.CertificateVerificationError](err)
	timeout, slow := errors.AsType[net.Error](err)
	const final = http.StatusBadRequest
	switch {
	case noName && dns.IsNotFound:
		return &failure{status: final, error: ErrUnreachable.With("the name %s does not resolve", dns.Name).Because(err).
			WithHint("create a DNS record that points %s at the platform, or check the address of --api; on the machine of the platform, its address works too, such as http://127.0.0.1:8080", dns.Name)}
	case noName:
		return &failure{error: ErrUnreachable.With("the DNS did not answer for %s", dns.Name).Because(err).WithHint("check the network of this machine")}
	case noTrust:
		return &failure{status: final, error: ErrUnreachable.With("the certificate of %s is not trusted: %s", base, cert.Err).Because(err).
			WithHint("say the name that is in the certificate with --api; for an authority of your own set SSL_CERT_FILE to its certificate")}
	case errors.Is(err, http.ErrSchemeMismatch):
		return &failure{status: final, error: ErrUnreachable.With("%s answers without TLS", base).Because(err).WithHint("say http:// with --api")}
	case slow && timeout.Timeout():
		return &failure{error: ErrUnreachable.With("%s does not answer in time", base).Because(err).WithHint("check the address of --api, and firewalls on the way")}
	}
	return &failure{error: ErrUnreachable.With("nothing answers at %s", base).Because(err)}
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" {
		return nil, lateen.ErrInvalid.With("%q is not the address of a platform", c.BaseURL).WithHint("it looks like http://127.0.0.1:8080")
	}
	target, err := url.Parse(strings.TrimSuffix(c.BaseURL, "/") + k.path)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	maps.Copy(query, k.query)
	switch {
	case strings.HasPrefix(c.Team, "team_"):
		query.Set("teamId", c.Team)
	case c.Team != "":
		query.Set("slug", c.Team)
	}
	target.RawQuery = query.Encode()
	var body io.Reader
	if k.in != nil {
		text, err := json.Marshal(k.in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(text)
	} else if k.body != nil {
		file, err := k.body()
		if err != nil {
			return nil, err
		}
		body = file
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, k.header)
	if k.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.body != nil {
		req.ContentLength = k.size
		if k.size == 0 {
			req.Body = http.NoBody
		}
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "lateen")
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	return req, nil
}

// decodeError decodes the error in a response, or describes a response without one.
func decodeError(resp *http.Response) error {
	var body struct {
		Error struct {
			Code    string            `json:"code"`
			Class   lateen.Code       `json:"class"`
			Message string            `json:"message"`
			Hint    string            `json:"hint"`
			Fields  map[string]string `json:"fields"`
			Missing []string          `json:"missing"`
		} `json:"error"`
	}
	err := json.NewDecoder(io.LimitReader(resp.Body, maxError)).Decode(&body)
	if err != nil || body.Error.Class == "" {
		e := ErrResponse.With("%s answered %s", resp.Request.URL.Host, resp.Status)
		if resp.StatusCode == http.StatusRequestEntityTooLarge {
			e = e.WithHint("raise the limit on request bodies of the proxy in front of the platform, such as client_max_body_size of nginx")
		}
		return e.Because(err)
	}
	e := &lateen.Error{
		Code: body.Error.Class, Reason: body.Error.Code, Message: body.Error.Message,
		Hint: body.Error.Hint, Fields: body.Error.Fields,
	}
	for _, sha := range body.Error.Missing {
		if e.Fields == nil {
			e.Fields = make(map[string]string, len(body.Error.Missing))
		}
		e.Fields[sha] = "was not uploaded yet"
	}
	return e
}

// Page selects a part of a list, newest first.
type Page struct {
	Until lateen.Millis // created before; 0 is from the newest
	Limit int           // at most 100; 0 is 20
}

func (p Page) query() url.Values {
	q := url.Values{}
	if p.Until != 0 {
		q.Set("until", strconv.FormatInt(int64(p.Until), 10))
	}
	if p.Limit != 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	return q
}

// next is the beginning of the next page in a response: 0 if there is none.
type next struct {
	Pagination struct {
		Next lateen.Millis `json:"next"`
	} `json:"pagination"`
}

// rawJSON is the JSON of a resource as the API sent it. A resource is marshaled as these
// bytes, so that it keeps one shape and the fields that this client does not know.
type rawJSON []byte

// MarshalJSON implements [json.Marshaler]; the zero value is null.
func (w rawJSON) MarshalJSON() ([]byte, error) {
	if w == nil {
		return []byte("null"), nil
	}
	return w, nil
}

// path joins escaped segments.
func path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// lines reads a stream of JSON values, one a line, until it or ctx ends or
// yield returns false.
func lines[T any](ctx context.Context, body io.Reader, yield func(T, error) bool) {
	decoder := json.NewDecoder(body)
	for {
		var v T
		err := decoder.Decode(&v)
		switch {
		case errors.Is(err, io.EOF):
			return
		case ctx.Err() != nil:
			yield(v, context.Cause(ctx))
			return
		case err != nil:
			yield(v, ErrUnreachable.With("the stream ended early").Because(err))
			return
		}
		if !yield(v, nil) {
			return
		}
	}
}
