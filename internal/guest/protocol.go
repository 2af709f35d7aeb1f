package guest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lateen-dev/lateen"
)

// maxMessage bounds a message. The longest are log entries, which guests cut
// at 256 Ki characters, of up to four bytes each, in base 64.
const maxMessage = 2 << 20

// The types of messages. A receiver skips those it does not know.
const (
	TypeActivate        = "activate"            // to a parked guest: [Activate]
	TypeZygote          = "zygote"              // to a parked guest, that it shall serve orders: [Zygote]
	TypeBorn            = "born"                // of a zygote, about an order: [Born]
	TypeParked          = "parked"              // booted, waiting: [Parked]
	TypeForked          = "forked"              // a template's child is there, and waits for [Range]s: no payload that matters
	TypeServerStarted   = "server-started"      // takes requests: [ServerStarted]
	TypeEnd             = "end"                 // a request is over: [End]
	TypeEnded           = "ended"               // requests are over: [Ended]
	TypeLog             = "log"                 // something was written: [Log]
	TypePurge           = "purge"               // what was made of some data is stale: [Purge]
	TypeUnrecoverable   = "unrecoverable-error" // give it no more requests: [Unrecoverable]
	TypeArchiveRejected = "archive-rejected"    // the archive is of no use: no payload that matters
)

// Activate says which function a guest is from now on.
type Activate struct {
	Root       string            `json:"root"`                 // directory of its files
	Handler    string            `json:"handler"`              // entry file in Root
	Env        map[string]string `json:"env"`                  // environment of user code
	Edge       bool              `json:"edge,omitempty"`       // runs with the web-standard API only
	Middleware bool              `json:"middleware,omitempty"` // no answer means "go on"
	Helpers    bool              `json:"helpers,omitempty"`    // req.query and the like
	WebAPI     bool              `json:"webApi,omitempty"`     // a default function takes a Request
	AWSHandler string            `json:"awsHandler,omitempty"` // "file.export" in the style of AWS Lambda
	SourceMaps bool              `json:"sourceMaps,omitempty"` // stack traces name sources
	Assets     []lateen.Asset    `json:"assets,omitempty"`     // what an edge function may import by name
	// Interpreter is what a relay executes the handler with: a program and its
	// arguments.
	Interpreter []string `json:"interpreter,omitempty"`
	Lambda      *Lambda  `json:"lambda,omitempty"`   // of a program: it asks the AWS Lambda Runtime API for its requests
	Archive     *Archive `json:"archive,omitempty"`  // to load from
	Record      bool     `json:"record,omitempty"`   // remember what an archive is made of
	Ahead       bool     `json:"ahead,omitempty"`    // no request waits for the module: it gives back memory that loading took
	Memory      int      `json:"memory,omitempty"`   // MiB that it may use, all requests together; 0: no bound
	Template    string   `json:"template,omitempty"` // path of [ForkLibrary]: it will be asked to fork
}

// Archive is where what a function compiled to before can be read. What is in
// it is for the agent alone to know, which has made it.
type Archive struct {
	Dir     string `json:"dir"`
	Scripts bool   `json:"scripts"` // has code of CommonJS modules
	Imports bool   `json:"imports"` // has code of ECMAScript modules
	Modules bool   `json:"modules"` // has code of a WebAssembly module
}

// Zygote has a parked guest of Node.js fork others into empty sandboxes, for as
// long as orders come on its control socket: see sandbox.Process.Order, whose
// messages come with the child's control, listener, stdout and stderr and what
// that returns. Each is answered with [Born], and so is this, once they may come. The child writes a byte to its
// control socket, by which the kernel attests who it is, waits for one, and is
// a guest that parks.
type Zygote struct {
	Fork  string `json:"fork"`  // path of [ForkLibrary]
	Enter string `json:"enter"` // path of [ZygoteLibrary]
}

// Born says whether a child was born: it is in its sandbox, and the zygote has
// nothing to do with it any more.
type Born struct {
	Error int `json:"error"` // errno; 0: it was
}

// Parked says what has booted.
type Parked struct {
	Version string `json:"version"`
	Tag     string `json:"tag"` // archives are good only for processes with the same
}

// Lambda is what the AWS Lambda Runtime API tells a program of its function.
type Lambda struct {
	Name    string `json:"name"`
	Memory  int    `json:"memory"`  // MiB
	Timeout int    `json:"timeout"` // seconds
	Gateway bool   `json:"gateway"` // events are those of an API gateway, and not Vercel's
}

// Context names the request a message is about. RequestID 0 is none.
type Context struct {
	InvocationID string `json:"invocationId"`
	RequestID    uint64 `json:"requestId"`
}

// ServerStarted says that the code is loaded.
type ServerStarted struct {
	InitDuration float64 `json:"initDuration"` // ms
	// HTTPPort is where a program listens, as it says itself; no guest's
	// supervisor needs to know.
	HTTPPort uint16 `json:"httpPort,omitempty"`
	// Connects says that requests do not go to the guest's listener: each
	// connection to that is answered with one to the server, see [Receive].
	Connects bool `json:"connects,omitempty"`
	// Silent says that the server tells nothing of requests, and is told
	// nothing: there will be no [End].
	Silent bool `json:"silent,omitempty"`
}

// End says that a request's response, and all the work it asked to wait for,
// is through.
type End struct {
	Context Context `json:"context"`
	Error   *Fault  `json:"error"` // nil: it went well
	Delay   *Delay  `json:"delay"` // nil: nothing was noticed, or nobody looks
}

// Ended says of requests what an [End] without an error does. They were answered
// whole and nothing else was to be waited for, so nobody waits to hear it: it may
// come a moment later, and of many at once.
type Ended struct {
	Requests []uint64 `json:"requests"`
	Delay    *Delay   `json:"delay"` // as in [End]
}

// Delay is how late timers of a guest's event loop were, those that have come
// since the last message that said it: how long whatever happens in the process
// waits for its turn. It is a guest's word.
type Delay struct {
	Ticks float64 `json:"ticks"` // how many there were
	Late  float64 `json:"late"`  // ms, of all together
}

// The most that is believed of a [Delay].
const (
	maxTicks = 1000
	maxLate  = 10 * time.Second // of one
)

// Believable returns how many ticks there were and how late they were together,
// within what can be; 0 and 0 where d makes no sense.
func (d *Delay) Believable() (ticks float64, late time.Duration) {
	if d == nil || !(d.Ticks >= 1) || !(d.Late >= 0) {
		return 0, 0
	}
	ticks = min(d.Ticks, maxTicks)
	return ticks, time.Duration(ticks * min(d.Late/d.Ticks, maxLate.Seconds()*1000) * float64(time.Millisecond))
}

// The reasons of a [Fault].
const (
	FaultFailed     = "failed"      // user code threw, or exited
	FaultNoResponse = "no-response" // user code ended without a response
	FaultRefused    = "refused"     // of [HeaderFailure] alone: the agent answers what it takes for no request, of which there is no [End]
)

// Fault is how a request failed.
type Fault struct {
	Reason  string `json:"reason"`
	Message string `json:"message"` // the error as text, without its stack
}

// Log is an entry that user code wrote: a line, or several that belong together.
type Log struct {
	Context   Context `json:"context"`
	Message   []byte  `json:"message"`
	Level     string  `json:"level"` // trace, debug, info, warn, error, fatal; "" where Stream says it
	Stream    string  `json:"stream"`
	Truncated bool    `json:"truncated"`
}

// Purge says that user code invalidated tags after the header of its response,
// which would have told it, was sent.
type Purge struct {
	Tags   []string `json:"tags"`
	Expire *float64 `json:"expire"` // seconds for which what is stale may be served; nil: no bound
}

// Grace is Expire as a duration, negative for no bound.
func (p *Purge) Grace() time.Duration {
	const most = 100 * 365 * 24 * time.Hour
	switch {
	case p.Expire == nil:
		return -1
	case !(*p.Expire > 0):
		return 0
	}
	return time.Duration(min(*p.Expire, most.Seconds()) * float64(time.Second))
}

// Unrecoverable says that the guest is at its end: while loading, that the
// code cannot be loaded; later, that it finishes what it has and no more.
type Unrecoverable struct {
	ExitCode int    `json:"exitCode"`
	Message  string `json:"message"`
}

// Message is one message of either direction.
type Message struct {
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// Into decodes the payload.
func (m Message) Into(v any) error {
	if err := json.Unmarshal(m.Payload, v); err != nil {
		return fmt.Errorf("payload of %q: %w", m.Type, err)
	}
	return nil
}

// Write sends a message whole, in one write.
func Write(w io.Writer, kind string, payload any) error {
	raw, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	message, err := json.Marshal(Message{Type: kind, Payload: raw})
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	if _, err := w.Write(append(message, 0)); err != nil {
		return fmt.Errorf("send %q to the guest: %w", kind, err)
	}
	return nil
}

// errTooLong ends a connection whose messages know no bounds.
var errTooLong = errors.New("a message of the guest is longer than any may be")

// Reader reads the messages of a guest, whom it does not trust.
type Reader struct {
	r *bufio.Reader
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, 16<<10)} }

// Raw returns the next message as it came, without the NUL, until the next
// call; io.EOF once there are no more. After any other error the connection is
// of no more use.
func (r *Reader) Raw() ([]byte, error) { return r.frame() }

// Next returns the next message; errors are those of [Reader.Raw].
func (r *Reader) Next() (Message, error) {
	var m Message
	raw, err := r.frame()
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("a message of the guest: %w", err)
	}
	return m, nil
}

// frame returns the bytes up to the next NUL.
func (r *Reader) frame() ([]byte, error) {
	part, err := r.r.ReadSlice(0)
	if err == nil {
		return part[:len(part)-1], nil // the common case: no copy
	}
	var whole []byte
	for ; errors.Is(err, bufio.ErrBufferFull); part, err = r.r.ReadSlice(0) {
		if whole = append(whole, part...); len(whole) > maxMessage {
			return nil, errTooLong
		}
	}
	whole = append(whole, part...)
	switch {
	case err == nil:
		return bytes.TrimSuffix(whole, []byte{0}), nil
	case errors.Is(err, io.EOF) && len(whole) > 0:
		return nil, io.ErrUnexpectedEOF
	default:
		return nil, err
	}
}
