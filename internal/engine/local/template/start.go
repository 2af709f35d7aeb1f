package template

import (
	"context"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
)

// earlyExit is the time after its start within which the end of a forked process is a
// fault of its template.
const earlyExit = 5 * time.Second

// Start starts an instance from a template: in its standby, or in a process that the
// template forks now. The spec is that of the template, in o with the begin of the
// start. After an error the template should be dropped.
func (ts *Templates) Start(ctx context.Context, t *Template, o instance.Options) (*instance.Instance, error) {
	if w := ts.takeStandby(t); w != nil {
		if i, err := ts.resume(ctx, t, w, true, o); err == nil || ctx.Err() != nil {
			return i, err
		}
	}
	w, err := ts.fork(ctx, t)
	if err == nil {
		err = guest.Settle(w.Control(), nil)
	}
	if err != nil {
		return nil, err
	}
	return ts.resume(ctx, t, w, false, o)
}

// resume starts an instance in a forked process.
func (ts *Templates) resume(ctx context.Context, t *Template, w *process.Process, standby bool, o instance.Options) (*instance.Instance, error) {
	claimed := time.Now()
	o.Operations, o.Standby = true, standby
	o.Ended = func(unexpected bool) { ts.ended(t, unexpected && time.Since(o.Began) < earlyExit) }
	i := ts.group.Add(ctx, w, o)
	if err := i.Limit(); err != nil {
		ts.group.Host.Log.WarnContext(ctx, "could not set the limits of an instance", "instance", i.ID(), "err", err)
	}
	i.EnableNetwork()
	if err := i.Resume(ctx); err != nil {
		return nil, err
	}
	i.Phases = engine.Phases{Kind: lateen.StartTemplate, Claim: claimed.Sub(o.Began), Load: time.Since(claimed)}
	return i, nil
}

// ended handles the end of an instance that was forked from a template. crashed means
// that it ended unexpectedly soon after its start.
func (ts *Templates) ended(t *Template, crashed bool) {
	if ts.group.Host.Sandbox.PrivateTmp() && tmpNearlyFull(t.Sandboxed.ID()) {
		ts.Drop(t) // all processes of a template share its temporary files; this bounds their size
	}
	if crashed {
		ts.Drop(t) // before another start can use the template
		t.crashed()
	}
}
