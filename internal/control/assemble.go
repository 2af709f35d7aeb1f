package control

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/store"
)

const (
	assembleTimeout = 30 * time.Minute
	assembleTries   = 3                // starts of one deployment, over restarts of the platform
	lookAgain       = 30 * time.Second // for deployments to assemble, if nobody signals one
	maxLogBytes     = 4 << 20
)

// signal wakes a worker.
func (c *Control) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// stop ends the assembly of a deployment, if it is in progress.
func (c *Control) stop(id lateen.DeploymentID, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel, ok := c.running[id]; ok {
		cancel(cause)
	}
}

// work assembles one deployment after the other until ctx ends.
func (c *Control) work(ctx context.Context) {
	for ctx.Err() == nil {
		id, running, err := c.claim(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			c.Log.WarnContext(ctx, "looking for deployments failed", "err", err)
		case id != "":
			c.signal() // there may be one more, for another worker
			c.assemble(running, id)
			c.release(id)
			continue
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		case <-time.After(lookAgain):
		}
	}
}

// claim takes the oldest deployment that nobody assembles, "" if there is none,
// and returns a context that ends when it is stopped.
func (c *Control) claim(ctx context.Context) (lateen.DeploymentID, context.Context, error) {
	waiting, err := c.Store.ListDeployments(ctx, store.DeploymentFilter{
		States: []lateen.ReadyState{lateen.Queued, lateen.Building, lateen.Deploying},
	})
	if err != nil {
		return "", nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(waiting) - 1; i >= 0; i-- {
		id := waiting[i].ID
		if _, taken := c.running[id]; taken {
			continue
		}
		running, cancel := context.WithCancelCause(ctx)
		c.running[id] = cancel
		return id, running, nil
	}
	return "", nil, nil
}

func (c *Control) release(id lateen.DeploymentID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[id](nil)
	delete(c.running, id)
}

// assemble brings a deployment to its end, READY or ERROR, unless ctx ends: then
// it stays as it is, to be resumed or because it was canceled.
func (c *Control) assemble(ctx context.Context, id lateen.DeploymentID) {
	limited, cancel := context.WithTimeoutCause(ctx, assembleTimeout, lateen.ErrAssembleTimeout)
	defer cancel()
	err := c.tryAssemble(limited, id)
	if err == nil || ctx.Err() != nil || errors.Is(err, lateen.ErrDeploymentFinal) || errors.Is(err, lateen.ErrDeploymentNotFound) {
		return
	}
	if limited.Err() != nil {
		err = context.Cause(limited)
	}
	if err := c.fail(ctx, id, err); err != nil {
		c.Log.ErrorContext(ctx, "a failed deployment could not be marked", "deployment_id", id, "err", err)
	}
}

func (c *Control) tryAssemble(ctx context.Context, id lateen.DeploymentID) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	d, err := c.advance(ctx, id, lateen.Building, func(_ *store.Queries, d *lateen.Deployment, _ routes) error {
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
	manifest, _, err := c.Builder.Assemble(ctx, *source, c.buildLog(ctx, id))
	if err != nil {
		return err
	}
	// Served before it is READY, so that who waits for that is never refused.
	_, err = c.advance(ctx, id, lateen.Deploying, func(_ *store.Queries, d *lateen.Deployment, moved routes) error {
		d.Manifest, moved[d.Host] = manifest, d.ID
		return nil
	})
	if err != nil {
		return err
	}
	return c.publish(ctx, id)
}

// checkTries gives up on a deployment whose assembly ended with the platform
// too often: it may be the reason.
func (c *Control) checkTries(ctx context.Context, id lateen.DeploymentID) error {
	events, err := c.Store.ListEvents(ctx, id, 0, 0)
	if err != nil {
		return err
	}
	tries := 0
	for _, e := range events {
		if e.Info["readyState"] == string(lateen.Building) {
			tries++
		}
	}
	if tries > assembleTries {
		return lateen.ErrAssembleInterrupted.With("the platform stopped %d times while it assembled the deployment", assembleTries)
	}
	return nil
}

// publish makes an assembled deployment READY, on all the hosts it is to have.
func (c *Control) publish(ctx context.Context, id lateen.DeploymentID) error {
	_, err := c.advance(ctx, id, lateen.Ready, func(q *store.Queries, d *lateen.Deployment, moved routes) error {
		d.ReadyAt = c.now()
		return c.assignHosts(ctx, q, d, moved)
	})
	if err != nil {
		return err
	}
	return c.settle(ctx, id)
}

// settle notes that a READY deployment is on its hosts.
func (c *Control) settle(ctx context.Context, id lateen.DeploymentID) error {
	defer c.watch.changed(id)
	return c.Store.Update(ctx, func(q *store.Queries) error {
		d, err := q.GetDeployment(ctx, id)
		if err != nil {
			return err
		}
		d.AliasedAt = c.now()
		return q.UpdateDeployment(ctx, d)
	})
}

// settleAll does what an earlier run did not come to after it made deployments
// READY: their hosts are known to the traffic since the start.
func (c *Control) settleAll(ctx context.Context) error {
	ready, err := c.Store.ListDeployments(ctx, store.DeploymentFilter{States: []lateen.ReadyState{lateen.Ready}})
	if err != nil {
		return err
	}
	for _, d := range ready {
		if d.AliasedAt == 0 {
			err = errors.Join(err, c.settle(ctx, d.ID))
		}
	}
	return err
}

// fail ends a deployment in ERROR, for a reason the user may see.
func (c *Control) fail(ctx context.Context, id lateen.DeploymentID, cause error) error {
	shown, ok := errors.AsType[*lateen.Error](cause)
	if !ok || shown.Code == lateen.Internal {
		c.Log.ErrorContext(ctx, "a deployment could not be assembled", "deployment_id", id, "err", cause)
		shown = lateen.ErrInternal.With("the deployment could not be assembled: something went wrong on our side")
	}
	_, err := c.advance(ctx, id, lateen.Failed, func(q *store.Queries, d *lateen.Deployment, moved routes) error {
		moved[d.Host] = ""
		d.ErrorReason, d.ErrorText, d.Manifest = shown.Reason, shown.Message, ""
		text := strings.TrimSuffix("Error: "+shown.Message+". "+shown.Hint, ". ")
		return errors.Join(
			q.AppendEvents(ctx, id, []lateen.DeploymentEvent{{Type: "stderr", CreatedAt: c.now(), Text: text, Level: lateen.LevelError}}),
			c.failRequest(ctx, q, d))
	})
	return err
}

// advance moves a deployment to a state. One that is in a final state stays
// there: the error is [lateen.ErrDeploymentFinal].
func (c *Control) advance(ctx context.Context, id lateen.DeploymentID, to lateen.ReadyState, change func(*store.Queries, *lateen.Deployment, routes) error) (*lateen.Deployment, error) {
	var d *lateen.Deployment
	err := c.reroute(ctx, func(q *store.Queries, moved routes) error {
		var err error
		if d, err = q.GetDeployment(ctx, id); err != nil {
			return err
		}
		if d.State.Final() {
			return lateen.ErrDeploymentFinal
		}
		d.State = to
		if err := change(q, d, moved); err != nil {
			return err
		}
		return errors.Join(q.UpdateDeployment(ctx, d), q.AppendEvents(ctx, id, c.stateEvent(to)))
	})
	c.watch.changed(id)
	return d, err
}

// buildLog returns what takes the lines of a build log. A line that can't be
// kept is not worth a failed deployment.
func (c *Control) buildLog(ctx context.Context, id lateen.DeploymentID) func(text string) {
	size := 0
	return func(text string) {
		if size > maxLogBytes {
			return
		}
		if size += len(text) + 1; size > maxLogBytes {
			text = "The build log is truncated here."
		}
		err := c.Store.AppendEvents(ctx, id, []lateen.DeploymentEvent{{Type: "stdout", CreatedAt: c.now(), Text: text}})
		if err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "a line of a build log was lost", "deployment_id", id, "err", err)
		}
		c.watch.changed(id)
	}
}

func (c *Control) manifest(ctx context.Context, d *lateen.Deployment) (*lateen.Manifest, error) {
	return artifact.ReadJSON[lateen.Manifest](ctx, c.Artifacts, d.Manifest)
}
