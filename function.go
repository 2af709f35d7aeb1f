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
	MinInstances   int               `json:"minInstances,omitempty"`   // minimum instances while the deployment is in production
	MaxInstances   int               `json:"maxInstances,omitempty"`   // instances at once; 0 is the platform's limit
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

// Edge reports whether f has the runtime edge, which offers web-standard APIs only.
func (f *Function) Edge() bool { return f.Runtime == "edge" }

// Asset is a file an edge function may import by name.
type Asset struct {
	Name string `json:"name"`
	Path string `json:"path"` // path in the tree
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
	Link   string `json:"link,omitempty"` // target as written; [Tree.Validate] checks that it stays inside
}

// FunctionKey identifies one function of one deployment. Instances with the same key
// are interchangeable.
type FunctionKey string

// FunctionSpec holds everything that an engine needs to start an instance.
type FunctionSpec struct {
	Key        FunctionKey
	Team       TeamID
	Project    ProjectID
	Deployment DeploymentID
	Name       string // key in the manifest's Functions
	Function   Function
	Weight     int               // share of the project under contention, relative to others; 0 is 1
	Env        map[string]string // the whole run-time environment of user code; secret
}

// NewFunctionKey returns the key of the function called name in deployment d.
func NewFunctionKey(d DeploymentID, name string) FunctionKey {
	sum := sha256.Sum256([]byte(name))
	return FunctionKey(string(d) + "/" + hex.EncodeToString(sum[:8]))
}

// StartKind is the way in which an invocation got its instance.
type StartKind string

// The kinds of start, from the shortest to the longest.
const (
	StartWarm      StartKind = "warm"      // an instance was running
	StartThawed    StartKind = "thawed"    // an instance was frozen
	StartPrewarmed StartKind = "prewarmed" // an instance was started before the request arrived
	StartTemplate  StartKind = "template"  // forked from a template process of the same deployment, or a process that had already loaded the module
	StartBlank     StartKind = "blank"     // a blank process loaded the function; it was booted before or forked from a zygote
	StartCold      StartKind = "cold"      // a runtime was booted for the request
)

// Invocation holds the costs and timings of one request to a function. The
// components that serve the request fill it in.
type Invocation struct {
	Function string        `json:"function,omitempty"` // name in the manifest
	Instance InstanceID    `json:"instance,omitempty"`
	Start    StartKind     `json:"start,omitempty"`
	Queue    time.Duration `json:"queue,omitempty"`    // time until the request was admitted, ns
	Claim    time.Duration `json:"claim,omitempty"`    // time to get a runtime process, ns
	Load     time.Duration `json:"load,omitempty"`     // time to load user code, ns
	Handler  time.Duration `json:"handler,omitempty"`  // time to the first byte of the response, ns
	Retried  bool          `json:"retried,omitempty"`  // whether the first start failed
	CPU      time.Duration `json:"cpu,omitempty"`      // fair share of the instance's processor time, ns
	Memory   int64         `json:"memory,omitempty"`   // peak memory of the instance, bytes
	Outbound []Outbound    `json:"outbound,omitempty"` // connections of the instance during the request, by host
}

// Outbound counts the connections made to one host.
type Outbound struct {
	Host  string `json:"host"` // name or address that the function connected to
	Count int    `json:"count"`
}

// Errors of functions. The header x-vercel-error has the reason in capitals.
var (
	ErrFunctionFailed     = &Error{Code: Faulted, Reason: "function_invocation_failed", Message: "the function crashed", Hint: "its error is in the logs of this request: `lateen logs`"}
	ErrFunctionTimeout    = &Error{Code: Faulted, Reason: "function_invocation_timeout", Message: "the function did not answer in time", Hint: "raise its maxDuration or make it answer sooner"}
	ErrFunctionNoResponse = &Error{Code: Faulted, Reason: "no_response_from_function", Message: "the function ended without a response"}
	ErrFunctionPayload    = &Error{Code: Invalid, Reason: "function_payload_too_large", Message: "the request's body is larger than a function takes"}
	ErrFunctionThrottled  = &Error{Code: Unavailable, Reason: "function_throttled", Message: "the function is at its concurrency limit and its queue is full", Hint: "try again in a moment"}
	ErrFunctionRuntime    = &Error{Code: Invalid, Reason: "function_runtime_unsupported", Message: "this platform does not run the function's runtime"}
	ErrFunctionStart      = &Error{Code: Unavailable, Reason: "function_start_failed", Message: "no instance of the function could be started"}
)
