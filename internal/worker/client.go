package worker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/store"
)

// ClientOptions configures a [Client].
type ClientOptions struct {
	Dial func(ctx context.Context) (net.Conn, error) // connects to the server
	// Lines takes the log lines of the worker's functions, and Purge the invalidations
	// that they make after their responses. nil drops them.
	Lines interface{ Log(line lateen.LogLine) }
	Purge func(p Purge)
	// Usage stores the usage of the functions. nil leaves it on the worker.
	Usage interface {
		AddUsage(ctx context.Context, b store.UsageBatch) error
	}
	// Data serves the data cache of the worker's functions. nil: there is none.
	Data *datacache.Server
	// Expose lists the services of the platform that functions may reach. nil is none.
	Expose func() []netip.AddrPort
	// Patience is the time that requests wait for the next process of a worker that has
	// announced its stop, from the last response of the stopping process; 0 is 10
	// seconds.
	Patience time.Duration
	Version  string       // of this program, for messages
	Log      *slog.Logger // nil discards
}

// Client runs functions on a worker. The methods that do not block need [Client.Run].
type Client struct {
	o         ClientOptions
	transport *http.Transport
	successor successor

	wake chan struct{} // holds a token while there may be messages to send

	mu       sync.Mutex // guards the fields below
	pending  pending
	produced map[lateen.ProjectID]produceRequest // current production deployments with minimum instances
}

// New returns a client. It connects when it is used.
func New(o ClientOptions) *Client {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &Client{
		o: o, successor: successor{patience: cmp.Or(o.Patience, 10*time.Second), met: make(chan struct{})},
		wake: make(chan struct{}, 1), pending: newPending(), produced: map[lateen.ProjectID]produceRequest{},
		transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return o.Dial(ctx) },
			Protocols:          protocols,
			HTTP2:              http2(),
			DisableCompression: true,
		},
	}
}

// newRequest returns a request for a path of the server.
func newRequest(ctx context.Context, path string, body io.Reader) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodPost, "http://worker"+pathOf(path), body)
}

// call makes a call whose request and reply are JSON. out may be nil. An error of the
// connection is [ErrUnreachable] or [ErrIncompatible].
func (c *Client) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode %T: %w", in, err)
	}
	resp, err := c.post(ctx, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var got struct {
		Value json.RawMessage `json:"value"`
		Fault *fault          `json:"fault"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return ErrUnreachable.Because(err)
	}
	if got.Fault != nil || out == nil || got.Value == nil {
		return got.Fault.err()
	}
	return json.Unmarshal(got.Value, out)
}

// post sends a request. An error of the connection is [ErrUnreachable] or
// [ErrIncompatible].
func (c *Client) post(ctx context.Context, path string, body io.Reader) (*http.Response, error) {
	req, err := newRequest(ctx, path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.roundTrip(req)
	if err != nil {
		return nil, unreachable(err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // for the message
		return nil, lateen.ErrInternal.Because(fmt.Errorf("%s: %s: %s", path, resp.Status, bytes.TrimSpace(text)))
	}
	return resp, nil
}

// Debug returns the debug bundle of the worker's process, a .tar. The end of ctx ends it.
func (c *Client) Debug(ctx context.Context) (io.ReadCloser, error) {
	resp, err := c.post(ctx, pathDebug, http.NoBody)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Provide implements [Backend]. It waits for the next process of a worker, as Invoke does.
func (c *Client) Provide(ctx context.Context, f *lateen.Function) error {
	for {
		next := c.successor.announced()
		err := c.call(ctx, pathProvide, f, nil)
		if ctx.Err() != nil || !unreceived(err) || !c.successor.await(ctx, next) {
			return err
		}
	}
}

// Functions implements [Backend]. Without a worker there are none.
func (c *Client) Functions(p lateen.ProjectID) []lateen.FunctionState {
	states := []lateen.FunctionState{}
	c.query(pathFunction, p, &states)
	return states
}

// Prepared implements [Backend]. Without a worker it is nil.
func (c *Client) Prepared(key lateen.FunctionKey, runtime string) (p *lateen.Preparation) {
	c.query(pathPrepared, preparedRequest{key, runtime}, &p)
	return p
}

// query makes a call that only shows a state: out stays unchanged if it fails.
func (c *Client) query(path string, in, out any) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout) //nolint:forbidigo // the callers have no context
	defer cancel()
	if err := c.call(ctx, path, in, out); err != nil {
		c.o.Log.Warn("the state of functions is unknown", "err", err)
	}
}
