package lateen

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Function is a piece of code that answers requests, as .vc-config.json describes it.
type Function struct {
	Runtime string `json:"runtime"` // nodejs22.x, edge, python3.12, provided.al2023, executable, …
	Handler string `json:"handler"` // entry file or symbol, relative to the tree; an edge function's entrypoint
	Tree    Digest `json:"tree"`    // digest of the [Tree] of its files

	Environment    map[string]string `json:"environment,omitempty"`
	Memory         int               `json:"memory,omitempty"`         // MiB; 0 is the default
	MaxDuration    int               `json:"maxDuration,omitempty"`    // seconds; 0 is the default, -1 the longest
	MaxConcurrency int               `json:"maxConcurrency,omitempty"` // requests at once in one instance; 0 is the default
	MinInstances   int               `json:"minInstances,omitempty"`   // kept at all times by the deployment in production
	MaxInstances   int               `json:"maxInstances,omitempty"`   // at once; 0 is as many as the platform allows
	Architecture   string            `json:"architecture,omitempty"`
	Framework      *Framework        `json:"framework,omitempty"`
	OperationType  string            `json:"operationType,omitempty"`
	AllowQuery     []string          `json:"allowQuery"` // nil: every parameter counts; empty: none

	LauncherType     string    `json:"launcherType,omitempty"`
	AddHelpers       bool      `json:"addHelpers,omitempty"`
	AddSourcemaps    bool      `json:"addSourcemaps,omitempty"`
	UseWebAPI        bool      `json:"useWebApi,omitempty"`
	AWSHandler       string    `json:"awsHandler,omitempty"`
	NoStreaming      bool      `json:"noStreaming,omitempty"` // the response is buffered whole
	SupportsCancel   bool      `json:"supportsCancel,omitempty"`
	EdgeAssets       []Asset   `json:"edgeAssets,omitempty"`
	EdgeEnvVarsInUse []string  `json:"edgeEnvVarsInUse,omitempty"`
	Triggers         []Trigger `json:"triggers,omitempty"`
}

// Edge reports whether f runs with the web-standard API only.
func (f *Function) Edge() bool { return f.Runtime == "edge" }

// Asset is a file an edge function may import by name.
type Asset struct {
	Name string `json:"name"`
	Path string `json:"path"` // in the tree
}

// Trigger makes a function a consumer of a queue or a schedule. Such a function has no public URL.
type Trigger struct {
	Type              string `json:"type"` // queue/v2beta, queue/v1beta, schedule/v1beta
	Topic             string `json:"topic,omitempty"`
	Consumer          string `json:"consumer,omitempty"`
	MaxDeliveries     int    `json:"maxDeliveries,omitempty"`
	RetryAfterSeconds int    `json:"retryAfterSeconds,omitempty"`
	InitialDelay      int    `json:"initialDelaySeconds,omitempty"`
	MaxConcurrency    int    `json:"maxConcurrency,omitempty"`
}

// Tree is the file system of a function, sorted by path.
type Tree struct {
	Entries []TreeEntry `json:"entries"`
}

// TreeEntry is a file or, with Link set, a symbolic link within the tree.
type TreeEntry struct {
	Path   string `json:"path"` // slash-separated, relative, clean, never ".."
	Digest Digest `json:"digest,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Exec   bool   `json:"exec,omitempty"`
	Link   string `json:"link,omitempty"` // target as written; proven to stay inside
}

// FunctionKey says which instances are interchangeable: those of one function
// of one deployment.
type FunctionKey string

// FunctionSpec is all that an engine needs to start an instance.
type FunctionSpec struct {
	Key        FunctionKey
	Team       TeamID
	Project    ProjectID
	Deployment DeploymentID
	Name       string // in the manifest's Functions
	Function   Function
	Weight     int               // of the project, against others where something is short; 0 is 1
	Env        map[string]string // the whole run-time environment of user code; secret
}

// NewFunctionKey returns the key of the function called name in deployment d.
func NewFunctionKey(d DeploymentID, name string) FunctionKey {
	sum := sha256.Sum256([]byte(name))
	return FunctionKey(string(d) + "/" + hex.EncodeToString(sum[:8]))
}

// StartKind is how an invocation came by its instance.
type StartKind string

// The kinds of start, from none to the longest.
const (
	StartWarm      StartKind = "warm"      // an instance was running
	StartThawed    StartKind = "thawed"    // an instance was frozen
	StartPrewarmed StartKind = "prewarmed" // an instance was started before the request came
	StartTemplate  StartKind = "template"  // forked from a warmed process of the same deployment, or a process that had loaded its module before
	StartBlank     StartKind = "blank"     // an empty runtime was handed the function: booted before, or forked just then from one that was
	StartCold      StartKind = "cold"      // a runtime was booted for it
)

// Invocation is what one call of a function cost and where its time went.
// The parts that serve a request fill it in.
type Invocation struct {
	Function string        `json:"function,omitempty"` // name in the manifest
	Instance InstanceID    `json:"instance,omitempty"`
	Start    StartKind     `json:"start,omitempty"`
	Queue    time.Duration `json:"queue,omitempty"`    // waiting for room, ns
	Claim    time.Duration `json:"claim,omitempty"`    // getting a runtime process, ns
	Load     time.Duration `json:"load,omitempty"`     // loading user code, ns
	Handler  time.Duration `json:"handler,omitempty"`  // to the first byte of the response, ns
	Retried  bool          `json:"retried,omitempty"`  // a first start failed
	CPU      time.Duration `json:"cpu,omitempty"`      // its fair share of what the instance used meanwhile, ns
	Memory   int64         `json:"memory,omitempty"`   // the most the instance has used, bytes
	Outbound []Outbound    `json:"outbound,omitempty"` // whom the instance called meanwhile, by host
}

// Outbound counts the connections made to one host.
type Outbound struct {
	Host  string `json:"host"` // as the function asked for it: a name, or an address
	Count int    `json:"count"`
}

// Errors of functions. The reason in capitals is the code in x-vercel-error.
var (
	ErrFunctionFailed     = &Error{Code: Faulted, Reason: "function_invocation_failed", Message: "the function crashed", Hint: "its error is in the logs of this request: `lateen logs`"}
	ErrFunctionTimeout    = &Error{Code: Faulted, Reason: "function_invocation_timeout", Message: "the function did not answer in time", Hint: "raise its maxDuration or make it answer sooner"}
	ErrFunctionNoResponse = &Error{Code: Faulted, Reason: "no_response_from_function", Message: "the function ended without a response"}
	ErrFunctionPayload    = &Error{Code: Invalid, Reason: "function_payload_too_large", Message: "the request's body is larger than a function takes"}
	ErrFunctionThrottled  = &Error{Code: Unavailable, Reason: "function_throttled", Message: "the function has all the requests it can take", Hint: "try again in a moment"}
	ErrFunctionRuntime    = &Error{Code: Invalid, Reason: "function_runtime_unsupported", Message: "this platform does not run the function's runtime"}
	ErrFunctionStart      = &Error{Code: Unavailable, Reason: "function_start_failed", Message: "no instance of the function could be started"}
)
