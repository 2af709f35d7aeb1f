// Package fleet leases an instance for each invocation: it finds an instance with a
// free place, starts one if waiting would take longer, queues requests meanwhile,
// and freezes and stops idle instances. internal/autoscale makes the decisions from
// numbers, and internal/fleet/measure takes the measurements. In this package, the
// roster and the files below it keep the state, without locks and goroutines; the
// methods of [Fleet] change it under one mutex, and start and stop the processes.
package fleet

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
)

// Fleet holds all instances, grouped by function.
type Fleet struct {
	roster // mu guards it, except its options, which never change; see [Fleet.unlock]

	preparer preparer
	work     sync.WaitGroup            // running goroutines for starts, freezes, reclaims and stops
	closed   chan struct{}             // closed when Run's context ends
	hastened atomic.Pointer[time.Time] // deadline set by Hasten; nil leaves the full grace

	mu    sync.Mutex                      // guards the roster and the fields below
	ctx   context.Context                 //nolint:containedctx // Run's context without its cancellation, for starts that no request triggered; nil before Run
	early map[lateen.ProjectID]production // calls of Produce before Run
	ended bool

	reviewing bool // a review of the queued starts is scheduled
}

// production holds the arguments of a call of [Fleet.Produce] for a project.
type production struct {
	deployment lateen.DeploymentID
	functions  []lateen.FunctionSpec
}

// New returns a fleet without instances.
func New(o Options) *Fleet {
	o = withDefaults(o)
	return &Fleet{
		preparer: newPreparer(o.Engine, o.Log), closed: make(chan struct{}),
		roster: newRoster(o), early: map[lateen.ProjectID]production{},
	}
}

var errEnding = lateen.ErrFunctionStart.With("the platform is shutting down")
