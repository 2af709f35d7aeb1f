// Package worker runs invocations in another process: a [Server] serves the functions
// of its process on a socket, and a [Client] is the invoker of the edge that uses
// them. One invocation is one HTTP/2 stream, in which frames carry the request, the
// response and the record of the invocation.
package worker

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/lateen-dev/lateen"
)

// Backend runs functions. A fleet with its engine is one, and so is a [Client].
type Backend interface {
	// Invoke has the contract of the edge's Invoker.
	Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error)
	// Prewarm starts an instance of a function that is likely to be requested soon, and
	// Prepare makes later starts of a function cheaper. Both never block and are
	// optimizations.
	Prewarm(spec lateen.FunctionSpec)
	Prepare(spec lateen.FunctionSpec)
	// Produce makes d the production deployment of a project. functions are those with
	// minimum instances. It never blocks.
	Produce(p lateen.ProjectID, d lateen.DeploymentID, functions []lateen.FunctionSpec)
	// Forget removes the instances and the files of a deleted deployment.
	Forget(d lateen.DeploymentID)
	// Provide fetches the runtime of a function if it is missing.
	Provide(ctx context.Context, f *lateen.Function) error
	// Functions returns the state of the functions of a project, and Prepared the
	// preparations of a function.
	Functions(p lateen.ProjectID) []lateen.FunctionState
	Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation
}

// The paths of the calls; [pathOf] adds the protocol.
const (
	pathInvoke   = "/invoke"
	pathCancel   = "/cancel"
	pathEvents   = "/events"
	pathUsage    = "/usage"
	pathPrewarm  = "/prewarm"
	pathPrepare  = "/prepare"
	pathProduce  = "/produce"
	pathForget   = "/forget"
	pathProvide  = "/provide"
	pathFunction = "/functions"
	pathPrepared = "/prepared"
	pathDebug    = "/debug" // the response is a .tar
	pathData     = "/data"  // a channel of package datacache, by which the server sends requests
)

// The bodies of the calls, as JSON.
type (
	cancelRequest struct {
		ID    string `json:"id"` // of [call]
		Fault *fault `json:"fault"`
	}
	produceRequest struct {
		Project    lateen.ProjectID      `json:"project"`
		Deployment lateen.DeploymentID   `json:"deployment"`
		Functions  []lateen.FunctionSpec `json:"functions"`
	}
	preparedRequest struct {
		Key     lateen.FunctionKey `json:"key"`
		Runtime string             `json:"runtime"`
	}
	// eventsRequest asks for the events after an event. It acknowledges all events up
	// to that one.
	eventsRequest struct {
		Process string           `json:"process"` // of the last response; "" at first
		After   uint64           `json:"after"`
		Expose  []netip.AddrPort `json:"expose,omitempty"` // services of the platform that functions may reach
	}
	eventsResponse struct {
		Process string  `json:"process"` // random name of the worker's process
		Version string  `json:"version"` // of its program
		Events  []Event `json:"events"`
		Dropped int     `json:"dropped,omitempty"` // events that were dropped before these
		// Stopping means that the process takes no more invocations.
		Stopping bool `json:"stopping,omitempty"`
	}
	// usageRequest asks for a batch of usage, and acknowledges the last one.
	usageRequest struct {
		Writer string `json:"writer"` // "" at first
		Serial int64  `json:"serial"`
	}
)

// Event is a message of a worker: a log line or an invalidation. One field is set.
type Event struct {
	Seq   uint64          `json:"seq"`
	Line  *lateen.LogLine `json:"line,omitempty"`
	Purge *Purge          `json:"purge,omitempty"`
}

// Purge is an invalidation of cached pages by a function after its response.
type Purge struct {
	Project    lateen.ProjectID    `json:"project"`
	Deployment lateen.DeploymentID `json:"deployment"`
	Tags       []string            `json:"tags"`
	Grace      time.Duration       `json:"grace"` // time for which stale pages may be served; negative is unlimited
}

// Limits of a connection. A stream that is not read must not keep others from being
// read, so the window of the connection holds the windows of all its streams.
const (
	maxStreams   = 1000      // invocations on one connection; more open another one
	streamWindow = 256 << 10 // bytes of a body in transit, each way
	windows      = 1 << 30

	pingAfter   = 15 * time.Second // silence after which a connection is checked
	pingTimeout = 5 * time.Second
	endTimeout  = time.Second // time for the record of a canceled invocation to arrive
	callTimeout = 5 * time.Second
)

// http2 returns the HTTP/2 settings of both ends.
func http2() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: windows,
		SendPingTimeout: pingAfter, PingTimeout: pingTimeout,
	}
}
