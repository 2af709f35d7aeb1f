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

// maxMessage bounds a message in bytes. The longest are log entries, which guests cut
// at 256 Ki characters, of up to four bytes each, in base 64.
const maxMessage = 2 << 20

// The types of messages. A receiver ignores unknown types.
const (
	TypeActivate        = "activate"            // to a waiting guest: [Activate]
	TypeZygote          = "zygote"              // to a waiting guest: serve orders as a [Zygote]
	TypeOrderResult     = "born"                // from a zygote: [OrderResult]
	TypeWaiting         = "waiting"             // booted, and waiting for a function: [Waiting]
	TypeForked          = "forked"              // from a forked child of a template process, which waits for [Range]s; the payload has no meaning
	TypeServerStarted   = "server-started"      // ready for requests: [ServerStarted]
	TypeEnd             = "end"                 // a request has ended: [End]
	TypeEnded           = "ended"               // requests have ended: [Ended]
	TypeLog             = "log"                 // user code wrote output: [Log]
	TypePurge           = "purge"               // cached pages with certain tags are stale: [Purge]
	TypeData            = "data"                // the guest asks for a [OperationData] connection, the first or after the end of one; the payload has no meaning
	TypeUnrecoverable   = "unrecoverable-error" // the guest takes no more requests: [Unrecoverable]
	TypeArchiveRejected = "archive-rejected"    // the archive is unusable; the payload has no meaning
)

// Activate assigns a function to a guest.
type Activate struct {
	Root       string            `json:"root"`                 // directory of the function's files
	Handler    string            `json:"handler"`              // entry file in Root
	Env        map[string]string `json:"env"`                  // environment of user code
	Edge       bool              `json:"edge,omitempty"`       // runs with the web-standard API only
	Middleware bool              `json:"middleware,omitempty"` // a missing response means that routing goes on
	Helpers    bool              `json:"helpers,omitempty"`    // req.query and similar helpers
	WebAPI     bool              `json:"webApi,omitempty"`     // a default function takes a Request
	AWSHandler string            `json:"awsHandler,omitempty"` // "file.export" in the style of AWS Lambda
	SourceMaps bool              `json:"sourceMaps,omitempty"` // stack traces name sources
	Assets     []lateen.Asset    `json:"assets,omitempty"`     // assets that an edge function may import by name
	// Interpreter is the program, with its arguments, with which a relay executes the
	// handler.
	Interpreter []string `json:"interpreter,omitempty"`
	Lambda      *Lambda  `json:"lambda,omitempty"`   // for a program that asks the AWS Lambda Runtime API for its requests
	Archive     *Archive `json:"archive,omitempty"`  // code cache to load from
	Record      bool     `json:"record,omitempty"`   // record the input of a new archive
	Ahead       bool     `json:"ahead,omitempty"`    // no request waits for the module, so the guest frees the memory of loading at once
	Memory      int      `json:"memory,omitempty"`   // memory limit in MiB for all requests together; 0: unlimited
	Template    string   `json:"template,omitempty"` // path of [ForkLibrary], for a guest that will become a template process
}

// Archive is the code cache of a function. Only the agent, which wrote it, knows the
// format of the files.
type Archive struct {
	Dir     string `json:"dir"`
	Scripts bool   `json:"scripts"` // has code of CommonJS modules
	Imports bool   `json:"imports"` // has code of ECMAScript modules
	Modules bool   `json:"modules"` // has code of a WebAssembly module
}

// Zygote makes a waiting guest of Node.js fork blank processes into empty sandboxes, for
// as long as orders arrive on its control socket. An order is the message of
// sandbox.Process.Order, sent with the child's control socket, listener, stdout and
// stderr and the descriptor of Order. The guest answers each order with [OrderResult], and the
// Zygote message as well, once orders may come. The child writes a byte to its control
// socket, with which the kernel attests its process id, waits for a byte, and then is a
// guest that waits for a function.
type Zygote struct {
	Fork  string `json:"fork"`  // path of [ForkLibrary]
	Enter string `json:"enter"` // path of [ZygoteLibrary]
}

// OrderResult is the result of an order. On success the child is in its sandbox, and the
// zygote has no more part in it.
type OrderResult struct {
	Error int `json:"error"` // errno; 0: success
}

// Waiting describes the runtime of a process that has booted.
type Waiting struct {
	Version string `json:"version"`
	Tag     string `json:"tag"` // archives are valid only for processes with the same tag
}

// Lambda is the data of a function that the AWS Lambda Runtime API gives to its
// program.
type Lambda struct {
	Name    string `json:"name"`
	Memory  int    `json:"memory"`  // MiB
	Timeout int    `json:"timeout"` // seconds
	Gateway bool   `json:"gateway"` // events are those of an API gateway, and not Vercel's
}

// Context is the request of a message. RequestID 0 is none.
type Context struct {
	InvocationID string `json:"invocationId"`
	RequestID    uint64 `json:"requestId"`
}

// ServerStarted says that the code is loaded.
type ServerStarted struct {
	InitDuration float64 `json:"initDuration"` // ms
	// HTTPPort is the port at which a program says that it listens. The supervisor does
	// not need it.
	HTTPPort uint16 `json:"httpPort,omitempty"`
	// Connects says that the guest's listener takes no requests: the guest answers each
	// connection with a connection to the function's server, see [Receive].
	Connects bool `json:"connects,omitempty"`
	// Silent says that the server does not speak the protocol: no [End] will come.
	Silent bool `json:"silent,omitempty"`
}

// End says that a request has ended: its response and all the work for which it asked
// the platform to wait.
type End struct {
	Context Context `json:"context"`
	Error   *Fault  `json:"error"` // nil: success
	Delay   *Delay  `json:"delay"` // nil: no delay was noticed, or the guest does not measure it
}

// Ended has the meaning of an [End] without an error for several requests. They had
// complete responses and no further work, so no component waits for the message, and it
// may come a moment later.
type Ended struct {
	Requests []uint64 `json:"requests"`
	Delay    *Delay   `json:"delay"` // as in [End]
}

// Delay is the lateness of timers in a guest's event loop since the last message with a
// Delay: the time that an event in the process waits for its turn. The supervisor
// cannot verify it.
type Delay struct {
	Ticks float64 `json:"ticks"` // number of ticks
	Late  float64 `json:"late"`  // sum of their lateness in ms
}

// The maximum values of a [Delay].
const (
	maxTicks = 1000
	maxLate  = 10 * time.Second // for each tick
)

// Believable returns the number of ticks and the sum of their lateness, limited to
// possible values; 0 and 0 if d is invalid.
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
	FaultRefused    = "refused"     // only in [HeaderFailure]: the agent rejects a malformed request, which has no [End]
)

// Fault is the failure of a request.
type Fault struct {
	Reason  string `json:"reason"`
	Message string `json:"message"` // the error as text, without its stack
}

// Log is an entry that user code wrote: a line, or several that belong together.
type Log struct {
	Context   Context `json:"context"`
	Message   []byte  `json:"message"`
	Level     string  `json:"level"` // trace, debug, info, warn, error, fatal; "" where Stream decides
	Stream    string  `json:"stream"`
	Truncated bool    `json:"truncated"`
}

// Purge says that user code invalidated tags too late for the header of its response,
// which had been sent.
type Purge struct {
	Tags   []string `json:"tags"`
	Expire *float64 `json:"expire"` // seconds for which stale pages may be served; nil: unlimited
}

// Grace is Expire as a duration, negative for unlimited.
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

// Unrecoverable says that the guest will end. While loading, it means that the code
// cannot be loaded; later, that the guest finishes its requests and takes no more.
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

// Write sends a message in one write.
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

// errTooLong ends a connection with a message longer than [maxMessage].
var errTooLong = fmt.Errorf("a message of the guest is longer than %d MiB", maxMessage>>20)

// Reader reads the messages of a guest, which is untrusted.
type Reader struct {
	r *bufio.Reader
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, 16<<10)} }

// Raw returns the next message as received, without the NUL. The bytes are valid until
// the next call. The error at the end is io.EOF. After any other error the connection
// is unusable.
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
		return part[:len(part)-1], nil // the common case, without a copy
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
