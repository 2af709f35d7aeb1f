package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/assemble"
	"github.com/lateen-dev/lateen/internal/pause"
	"github.com/lateen-dev/lateen/internal/store"
)

const (
	assembleTimeout = 30 * time.Minute
	freeTries       = 3 // immediate tries of one deployment, counted over restarts of the platform
	maxTries        = 30
	maxTryPause     = 5 * time.Minute
	stuckPause      = 10 * time.Second // delay after a deployment whose state could not be written
	lookAgain       = 30 * time.Second // interval of looking for deployments to assemble without a signal
	maxLogBytes     = 4 << 20
)

// signal wakes a worker.
func (c *Control) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// stop cancels the assembly of a deployment, if it is in progress.
func (c *Control) stop(id lateen.DeploymentID, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.running[id]; ok {
		a.cancel(cause)
	}
}

// assembly is a deployment that a worker assembles.
type assembly struct {
	cancel  context.CancelCauseFunc
	tenants []string // the team, then the project
}

func tenantsOf(team lateen.TeamID, project lateen.ProjectID) []string {
	return []string{string(team), string(project)}
}

// work assembles one deployment after another until ctx ends.
func (c *Control) work(ctx context.Context) {
	for ctx.Err() == nil {
		id, running, wait, err := c.claim(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			c.Log.WarnContext(ctx, "could not list deployments to assemble", "err", err)
		case id != "":
			c.signal() // another worker may take another deployment
			endLease := c.holdLease(running, id)
			stuck := c.assemble(running, id)
			endLease()
			c.release(id)
			if stuck {
				pause.For(ctx, stuckPause)
			}
			continue
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// claim takes the next deployment that is due and has no worker, and returns a
// context that ends when the deployment is stopped. If there is none, claim returns
// "" and the time until the next look.
func (c *Control) claim(ctx context.Context) (id lateen.DeploymentID, running context.Context, wait time.Duration, err error) {
	wait = lookAgain
	waiting, err := c.Store.ListUnfinished(ctx)
	if err != nil {
		return "", nil, wait, err
	}
	c.order(waiting)
	c.forgetLeases(waiting)
	for _, d := range waiting {
		running, taken := c.take(ctx, d)
		if !taken {
			continue
		}
		due, err := c.dueIn(ctx, d)
		if err == nil && due <= 0 {
			var leased bool
			if leased, due, err = c.lease(ctx, &d); leased {
				return d.ID, running, 0, nil
			}
		}
		c.release(d.ID)
		if err != nil {
			return "", nil, wait, err
		}
		wait = min(wait, due)
	}
	return "", nil, wait, nil
}

// order sorts deployments, given oldest first, into the order of their assembly. The
// team with the fewest assemblies in progress comes first; of equal teams, the one
// served longest ago. The same rule orders the projects of a team. In a project, the
// oldest deployment comes first.
func (c *Control) order(waiting []store.Unfinished) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortStableFunc(waiting, func(a, b store.Unfinished) int {
		by := func(a, b string) int {
			return cmp.Or(cmp.Compare(c.workers.Held(a), c.workers.Held(b)), cmp.Compare(c.served[a], c.served[b]))
		}
		return cmp.Or(by(string(a.Team), string(b.Team)), by(string(a.Project), string(b.Project)))
	})
}

// take reserves a deployment for one worker, unless another worker has it or its
// team or project uses its whole share of the workers.
func (c *Control) take(ctx context.Context, d store.Unfinished) (running context.Context, taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tenants := tenantsOf(d.Team, d.Project)
	if _, busy := c.running[d.ID]; busy || !c.workers.Take(1, tenants...) {
		return nil, false
	}
	c.turn++
	for _, tenant := range tenants {
		c.served[tenant] = c.turn
	}
	running, cancel := context.WithCancelCause(ctx)
	c.running[d.ID] = &assembly{cancel: cancel, tenants: tenants}
	return running, true
}

func (c *Control) release(id lateen.DeploymentID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.running[id]
	a.cancel(nil)
	delete(c.running, id)
	c.workers.Give(1, a.tenants...)
	if len(c.running) == 0 {
		clear(c.served) // keeps the map small
	}
}

// assemble brings a deployment to READY or ERROR. If ctx ends first, the deployment
// stays as it is: it was canceled, or the next run resumes it. stuck reports that
// the final state could not be written, for example to a full disk, so the
// deployment is next again.
func (c *Control) assemble(ctx context.Context, id lateen.DeploymentID) (stuck bool) {
	ctx = lateen.WithSpans(ctx, id.Span(), c.Spans)
	limited, cancel := context.WithTimeoutCause(ctx, assembleTimeout, lateen.ErrAssembleTimeout)
	defer cancel()
	err := c.tryAssemble(limited, id)
	if err == nil {
		c.settle(ctx, id)
		return false
	}
	if ctx.Err() != nil || errors.Is(err, lateen.ErrDeploymentFinal) || errors.Is(err, lateen.ErrDeploymentNotFound) || errors.Is(err, errLeaseLost) {
		return false
	}
	if limited.Err() != nil {
		err = context.Cause(limited)
	}
	if err := c.fail(ctx, id, err); err != nil {
		c.Log.ErrorContext(ctx, "a failed deployment could not be marked", "deployment_id", id, "err", err)
		return ctx.Err() == nil
	}
	return false
}

func (c *Control) tryAssemble(ctx context.Context, id lateen.DeploymentID) (err error) {
	ctx, end := lateen.StartSpan(ctx, "assemble")
	defer end(&err)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	d, err := c.advance(ctx, id, lateen.Building, func(_ *store.Queries, d *lateen.Deployment, _ *changes) error {
		d.BuildingAt = c.now()
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.checkTries(ctx, id); err != nil {
		return err
	}
	source, err := artifact.ReadJSON[listing](ctx, c.Artifacts, d.Files)
	if err != nil {
		return err
	}
	manifest, err := c.build(ctx, d, source)
	if err != nil {
		return err
	}
	// Served before it is READY, so a client that waits for READY is never refused.
	_, err = c.advance(ctx, id, lateen.Deploying, func(q *store.Queries, d *lateen.Deployment, ch *changes) error {
		before := d.Manifest
		d.Manifest = manifest
		ch.bind(d.Host, d)
		return c.noteManifest(ctx, q, before, manifest)
	})
	if err != nil {
		return err
	}
	return c.publish(ctx, id)
}

// build assembles a deployment, attributed to its tenants and within the storage
// quota of its team.
func (c *Control) build(ctx context.Context, d *lateen.Deployment, source *listing) (manifest lateen.Digest, err error) {
	u := &unpacked{seen: make(map[lateen.Digest]bool)}
	defer func() { err = cmp.Or(err, u.hold(context.WithoutCancel(ctx), c, d.Team)) }() // a failed assembly has stored content as well
	source.Tenants, source.OnStore = tenantsOf(d.Team, d.Project), func(blob lateen.Blob) error { return u.add(ctx, c, d.Team, blob) }
	manifest, _, err = c.Builder.Assemble(ctx, *source, c.buildLog(ctx, d.ID))
	return manifest, err
}

// dueIn returns the time to wait before the assembly of d. If the platform stopped
// repeatedly during the assembly of d, the assembly may be the cause: each further
// try waits longer, so the platform can assemble other deployments.
func (c *Control) dueIn(ctx context.Context, d store.Unfinished) (time.Duration, error) {
	if d.State == lateen.Queued {
		return 0, nil
	}
	tries, err := c.tries(ctx, d.ID)
	if err != nil || tries <= freeTries {
		return 0, err
	}
	pause := min(maxTryPause, time.Second<<min(tries-freeTries, 20))
	since := c.Now().Sub(d.BuildingAt.Time())
	if since < 0 { // the clock was set back
		return 0, nil
	}
	return pause - since, nil
}

// tries returns how many times the assembly of a deployment began.
func (c *Control) tries(ctx context.Context, id lateen.DeploymentID) (int, error) {
	events, err := c.Store.ListBuildLog(ctx, id, 0, 0)
	n := 0
	for _, e := range events {
		if e.Info["readyState"] == string(lateen.Building) {
			n++
		}
	}
	return n, err
}

// checkTries returns an error for a deployment with more than maxTries tries.
func (c *Control) checkTries(ctx context.Context, id lateen.DeploymentID) error {
	tries, err := c.tries(ctx, id)
	if err == nil && tries > maxTries {
		err = lateen.ErrAssembleInterrupted.With("the platform stopped %d times while it assembled the deployment", maxTries)
	}
	return err
}

// publish makes an assembled deployment READY and assigns its hosts.
func (c *Control) publish(ctx context.Context, id lateen.DeploymentID) error {
	_, err := c.advance(ctx, id, lateen.Ready, func(q *store.Queries, d *lateen.Deployment, ch *changes) error {
		d.ReadyAt = c.now()
		return c.assignHosts(ctx, q, d, ch)
	})
	return err
}

// settle finalizes a READY deployment. It tries until it succeeds, the deployment is
// deleted or ctx ends: clients wait for the hosts.
func (c *Control) settle(ctx context.Context, id lateen.DeploymentID) {
	for {
		err := c.finalize(ctx, id)
		if err == nil || ctx.Err() != nil || errors.Is(err, lateen.ErrDeploymentNotFound) {
			return
		}
		c.Log.WarnContext(ctx, "the hosts of a deployment were not recorded as assigned; trying again", "deployment_id", id, "err", err)
		pause.For(ctx, stuckPause)
	}
}

// finalize records that all hosts of a READY deployment are assigned.
func (c *Control) finalize(ctx context.Context, id lateen.DeploymentID) error {
	defer c.watch.changed(id)
	var d *lateen.Deployment
	err := c.Store.Update(ctx, func(q *store.Queries) (err error) {
		if d, err = q.GetDeployment(ctx, id); err != nil {
			return err
		}
		d.AliasedAt = c.now()
		return q.UpdateDeployment(ctx, d)
	})
	if err == nil {
		c.endSpan(id, d.CreatedAt, nil)
	}
	return err
}

// endSpan ends the span of a deployment, which has begun with its creation at a time.
func (c *Control) endSpan(id lateen.DeploymentID, created lateen.Millis, err error) {
	if c.Spans == nil {
		return
	}
	s := id.Span()
	s.Begin, s.End, s.Err = created.Time(), c.Now(), err
	c.Spans(s)
}

// listUnsettled returns the READY deployments that an earlier run has not finalized.
// The edge knows their hosts since the start of the platform.
func (c *Control) listUnsettled(ctx context.Context) (all []lateen.DeploymentID, err error) {
	const batch = 100
	for after := lateen.DeploymentID(""); ; {
		ids, err := c.Store.ListUnsettled(ctx, after, batch)
		if err != nil {
			return nil, err
		}
		all = append(all, ids...)
		if len(ids) < batch {
			return all, nil
		}
		after = ids[batch-1]
	}
}

// fail ends a deployment in ERROR, with the cause if the user may see it.
func (c *Control) fail(ctx context.Context, id lateen.DeploymentID, cause error) error {
	shown, ok := errors.AsType[*lateen.Error](cause)
	hidden := !ok || shown.Code == lateen.Internal
	if hidden || errors.Is(shown, lateen.ErrStorageFull) {
		c.Log.ErrorContext(ctx, "a deployment could not be assembled", "deployment_id", id, "err", cause)
	}
	if hidden {
		shown = lateen.ErrInternal.With("the deployment could not be assembled: internal error")
	}
	d, err := c.advance(ctx, id, lateen.Failed, func(q *store.Queries, d *lateen.Deployment, ch *changes) error {
		ch.unbind(d.Team, d.Project, d.Host)
		if err := c.noteManifest(ctx, q, d.Manifest, ""); err != nil {
			return err
		}
		d.ErrorReason, d.ErrorText, d.Manifest = shown.Reason, shown.Message, ""
		text := strings.TrimSuffix("Error: "+shown.Message+". "+shown.Hint, ". ")
		return errors.Join(
			q.AppendBuildLog(ctx, id, []lateen.BuildLogLine{{Type: "stderr", CreatedAt: c.now(), Text: text, Level: lateen.LevelError}}),
			c.failRequest(ctx, q, d))
	})
	if err == nil {
		c.endSpan(id, d.CreatedAt, shown)
	}
	return err
}

// advance moves a deployment to a state. For a deployment in a final state, it
// returns [lateen.ErrDeploymentFinal].
func (c *Control) advance(ctx context.Context, id lateen.DeploymentID, to lateen.ReadyState, change func(*store.Queries, *lateen.Deployment, *changes) error) (*lateen.Deployment, error) {
	var d *lateen.Deployment
	err := c.change(ctx, func(q *store.Queries, ch *changes) error {
		var err error
		if d, err = q.GetDeployment(ctx, id); err != nil {
			return err
		}
		if d.State.Final() {
			return lateen.ErrDeploymentFinal
		}
		if err := c.checkLease(ctx, q, id); err != nil {
			return err
		}
		d.State = to
		ch.deployment(stateEvents[to], d)
		if err := change(q, d, ch); err != nil {
			return err
		}
		return errors.Join(q.UpdateDeployment(ctx, d), q.AppendBuildLog(ctx, id, c.stateLine(to)))
	})
	return d, err
}

// buildLog returns a function that appends lines to a build log. A line that can't
// be stored does not fail the deployment.
func (c *Control) buildLog(ctx context.Context, id lateen.DeploymentID) func(text string) {
	size := 0
	return func(text string) {
		if size > maxLogBytes {
			return
		}
		if size += len(text) + 1; size > maxLogBytes {
			text = "The build log is truncated here."
		}
		level := ""
		if strings.HasPrefix(text, assemble.NoticePrefix) {
			level = lateen.LevelWarning
		}
		err := c.Store.AppendBuildLog(ctx, id, []lateen.BuildLogLine{{Type: "stdout", CreatedAt: c.now(), Text: text, Level: level}})
		if err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "a line of a build log was lost", "deployment_id", id, "err", err)
		}
		c.watch.changed(id)
	}
}

func (c *Control) manifest(ctx context.Context, d *lateen.Deployment) (*lateen.Manifest, error) {
	return artifact.ReadJSON[lateen.Manifest](ctx, c.Artifacts, d.Manifest)
}
