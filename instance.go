package lateen

import "time"

// Phase is the state of an instance.
type Phase string

// The phases of an instance, in their order. A request returns an idle instance to
// [PhaseRunning]; a leaving one gets no requests.
const (
	PhaseRunning   Phase = "running"   // the instance serves requests, or did a moment ago
	PhaseFrozen    Phase = "frozen"    // the instance is idle and stopped by the freezer
	PhaseReclaimed Phase = "reclaimed" // the instance is frozen, and its memory is swapped out if the host can
	PhaseLeaving   Phase = "leaving"   // the instance takes no more requests and stops after its last one
)

// InstanceState is a snapshot of an instance.
type InstanceState struct {
	ID       InstanceID    `json:"id"`
	Phase    Phase         `json:"phase"`
	Start    StartKind     `json:"start"` // kind of its start
	Since    Millis        `json:"since"` // time of its start
	InFlight int           `json:"inFlight"`
	Requests int64         `json:"requests"` // requests that have ended
	CPU      time.Duration `json:"cpu"`      // processor time used up to its last request, ns
	Memory   int64         `json:"memory"`   // memory at its last request, bytes
}

// FunctionState is a snapshot of a function: its instances, its requests and the
// values that the fleet has learned.
type FunctionState struct {
	Project    ProjectID    `json:"projectId"`
	Deployment DeploymentID `json:"deploymentId"` // deployment of the last request if there is no instance
	Function   string       `json:"function"`     // name in the manifest
	Runtime    string       `json:"runtime,omitempty"`

	Instances []InstanceState `json:"instances"` // oldest first; empty at zero
	Starting  int             `json:"starting"`  // instances that are starting
	InFlight  int             `json:"inFlight"`  // requests in all instances
	Waiting   int             `json:"waiting"`   // requests that wait for an instance

	Limit        int `json:"limit"`                  // concurrency limit at present, as learned
	MaxLimit     int `json:"maxLimit"`               // upper bound of Limit
	MinInstances int `json:"minInstances,omitempty"` // instances kept without requests
	MaxInstances int `json:"maxInstances"`

	// Values learned from all deployments of the project's function of that name.
	KeepAlive time.Duration `json:"keepAlive"`           // time that an idle instance is kept after its last request, ns
	PrewarmAt Millis        `json:"prewarmAt,omitempty"` // time of the next prewarm; 0 is never
	LastAsked Millis        `json:"lastAsked,omitempty"` // time of the last request; 0 is never
	StartTime time.Duration `json:"startTime"`           // moving average of the time of a start, ns; 0 is unknown
	Service   time.Duration `json:"service"`             // moving average of the time of a request, ns; 0 is unknown
	CPU       time.Duration `json:"cpu"`                 // moving average of the processor time of a request, ns
	Delay     time.Duration `json:"delay"`               // moving average of the event-loop delay, ns
	Memory    int64         `json:"memory"`              // moving average of the memory of an instance, bytes

	Starts []StartState `json:"starts"` // starts by kind, the quickest first; kinds that never occurred are left out

	Preparation *Preparation `json:"preparation,omitempty"` // nil if the runtime supports no preparation
}

// Preparation holds the artifacts that make later starts of a function cheaper: its
// code cache and its template process.
type Preparation struct {
	Archive    bool   `json:"archive"`              // whether the function has a code cache
	NoArchive  string `json:"noArchive,omitempty"`  // reason for its absence, for people
	Template   bool   `json:"template"`             // whether the function has a template process
	NoTemplate string `json:"noTemplate,omitempty"` // reason for its absence, for people
}

// StartState holds the latency of the requests with one kind of start, from the
// platform's listener to the first byte of the response.
type StartState struct {
	Kind  StartKind     `json:"kind"`
	Count int64         `json:"count"`
	P50   time.Duration `json:"p50"` // median, ns, within a fifth
	P99   time.Duration `json:"p99"`
}
