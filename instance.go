package lateen

import "time"

// Phase is what an instance is doing.
type Phase string

// The phases of an instance, in the order it goes through them. One that is
// asked for runs again, unless it is leaving.
const (
	PhaseRunning   Phase = "running"   // serves requests, or did a moment ago
	PhaseFrozen    Phase = "frozen"    // idle, and gets no processor time
	PhaseReclaimed Phase = "reclaimed" // frozen, and its memory is pushed out where the host can
	PhaseLeaving   Phase = "leaving"   // takes no more requests and stops after the last it has
)

// InstanceState is an instance at a moment.
type InstanceState struct {
	ID       InstanceID    `json:"id"`
	Phase    Phase         `json:"phase"`
	Start    StartKind     `json:"start"` // how it was started
	Since    Millis        `json:"since"` // it is there
	InFlight int           `json:"inFlight"`
	Requests int64         `json:"requests"` // it has ended
	CPU      time.Duration `json:"cpu"`      // it has used, ns, as of its last request
	Memory   int64         `json:"memory"`   // bytes, as of its last request
}

// FunctionState is what a function of a deployment has and is asked for at a moment.
type FunctionState struct {
	Project    ProjectID    `json:"projectId"`
	Deployment DeploymentID `json:"deploymentId"` // the one last asked for, where no instance is
	Function   string       `json:"function"`     // name in the manifest
	Runtime    string       `json:"runtime,omitempty"`

	Instances []InstanceState `json:"instances"` // oldest first; empty at zero
	Starting  int             `json:"starting"`  // instances on their way
	InFlight  int             `json:"inFlight"`  // requests in all instances
	Waiting   int             `json:"waiting"`   // requests that wait for room

	Limit        int `json:"limit"`                  // requests at once that an instance takes now, as learned
	MaxLimit     int `json:"maxLimit"`               // that it takes at most
	MinInstances int `json:"minInstances,omitempty"` // kept whatever is asked
	MaxInstances int `json:"maxInstances"`

	// What is learned of all deployments of the project's function of that name.
	KeepAlive time.Duration `json:"keepAlive"`           // how long its instance is kept after the last request, ns
	PrewarmAt Millis        `json:"prewarmAt,omitempty"` // when the next is started ahead; 0 is never
	LastAsked Millis        `json:"lastAsked,omitempty"` // 0 is never
	StartTime time.Duration `json:"startTime"`           // of late, ns; 0 is not known
	Service   time.Duration `json:"service"`             // of a request, of late, ns; 0 is not known
	CPU       time.Duration `json:"cpu"`                 // of a request, of late, ns
	Delay     time.Duration `json:"delay"`               // that what happens in its event loop waits for its turn, of late, ns
	Memory    int64         `json:"memory"`              // of an instance, of late, bytes

	Starts []StartState `json:"starts"` // by kind, the quickest first; kinds that never occurred are left out

	Preparation *Preparation `json:"preparation,omitempty"` // nil where the runtime knows no such thing
}

// Preparation is what makes later starts of a function cheaper, and why it has
// not got that.
type Preparation struct {
	Archive    bool   `json:"archive"`              // what it compiled to is kept
	NoArchive  string `json:"noArchive,omitempty"`  // why it is not, for people
	Template   bool   `json:"template"`             // a process that has it loaded waits to be forked
	NoTemplate string `json:"noTemplate,omitempty"` // why none does, for people
}

// StartState is how long requests took that came by their instance in one way,
// from the platform's door to the first byte of the response.
type StartState struct {
	Kind  StartKind     `json:"kind"`
	Count int64         `json:"count"`
	P50   time.Duration `json:"p50"` // ns, within a fifth
	P99   time.Duration `json:"p99"`
}
