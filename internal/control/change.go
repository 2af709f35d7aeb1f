package control

import (
	"context"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// Events delivers the events that a transaction recorded.
type Events interface {
	// Publish delivers events, and all earlier ones, and returns when the components
	// of this process have applied them.
	Publish(ctx context.Context, events []lateen.Event)
	// Subscribe calls fn with all events, also with those of other processes on the
	// same store. fn does not block.
	Subscribe(fn func(events []lateen.Event))
}

// changes are the events of a transaction.
type changes struct {
	at     lateen.Millis
	events []lateen.Event
}

// change runs fn in a transaction that records the events of its changes, and
// publishes the events after the commit. fn may run more than once, each time with an
// empty ch.
func (c *Control) change(ctx context.Context, fn func(q *store.Queries, ch *changes) error) error {
	select {
	case c.publishing <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.publishing }()
	var ch changes
	err := c.Store.Update(ctx, func(q *store.Queries) error {
		ch = changes{at: c.now()}
		if err := fn(q, &ch); err != nil {
			return err
		}
		return q.AppendEvents(ctx, ch.events)
	})
	if err != nil {
		return err
	}
	publishing, end := lateen.StartSpan(ctx, "publish events")
	c.Events.Publish(publishing, ch.events)
	end(nil)
	return nil
}

func (ch *changes) add(e lateen.Event) {
	e.CreatedAt = ch.at
	ch.events = append(ch.events, e)
}

// bind records that a host leads to d.
func (ch *changes) bind(host string, d *lateen.Deployment) {
	ch.alias(&lateen.Alias{Host: host, Team: d.Team, Project: d.Project, Deployment: d.ID})
}

// alias records the binding of an alias.
func (ch *changes) alias(a *lateen.Alias) {
	ch.add(lateen.Event{
		Type: lateen.HostBound, Team: a.Team, Project: a.Project, Subject: a.Host, Deployment: a.Deployment,
		Binding: lateen.Binding{Deployment: a.Deployment, Redirect: a.Redirect},
	})
}

// unbind records that hosts of a project lead nowhere.
func (ch *changes) unbind(team lateen.TeamID, project lateen.ProjectID, hosts ...string) {
	for _, host := range hosts {
		ch.add(lateen.Event{Type: lateen.HostUnbound, Team: team, Project: project, Subject: host})
	}
}

// deployment records an event of d.
func (ch *changes) deployment(kind lateen.EventType, d *lateen.Deployment) {
	ch.add(lateen.Event{Type: kind, Team: d.Team, Project: d.Project, Subject: string(d.ID), Deployment: d.ID})
}

// project records an event of p, with the deployment that it concerns, if any.
func (ch *changes) project(kind lateen.EventType, p *lateen.Project, d lateen.DeploymentID) {
	ch.add(lateen.Event{Type: kind, Team: p.Team, Project: p.ID, Subject: string(p.ID), Deployment: d})
}

// invalidate records that content of a project is no longer valid.
func (ch *changes) invalidate(of *lateen.Project, content lateen.Invalidation) {
	ch.add(lateen.Event{Type: lateen.CacheInvalidated, Team: of.Team, Project: of.ID, Subject: string(of.ID), Invalidation: content})
}

// stateEvents are the types of the events of a deployment's states.
var stateEvents = map[lateen.ReadyState]lateen.EventType{
	lateen.Building: lateen.DeploymentState, lateen.Deploying: lateen.DeploymentState,
	lateen.Ready: lateen.DeploymentReady, lateen.Failed: lateen.DeploymentFailed, lateen.Canceled: lateen.DeploymentCanceled,
}

// apply applies events to the assemblies and the followers of build logs in this
// process.
func (c *Control) apply(events []lateen.Event) {
	for i := range events {
		switch e := &events[i]; e.Type {
		case lateen.DeploymentCreated:
			c.signal()
		case lateen.DeploymentCanceled:
			c.stop(e.Deployment, lateen.ErrDeploymentFinal)
			c.watch.changed(e.Deployment)
		case lateen.DeploymentRemoved:
			c.stop(e.Deployment, lateen.ErrDeploymentNotFound)
			c.watch.changed(e.Deployment)
		case lateen.DeploymentState, lateen.DeploymentReady, lateen.DeploymentFailed:
			c.watch.changed(e.Deployment)
		default: // concerns other subscribers
		}
	}
}
