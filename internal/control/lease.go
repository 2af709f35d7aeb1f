package control

import (
	"context"
	"errors"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// Several processes on one store lease the deployments that they assemble. A process
// renews its leases; another process takes over a lease that it has not seen change
// for the time of a lease. A change of a deployment by an assembly is conditional on
// the lease, so a process that was suspended meanwhile cannot interfere.

// errLeaseLost ends an assembly whose deployment another process may assemble now.
var errLeaseLost = errors.New("another process has the lease of the deployment")

// renewals is how many times a lease is renewed within its time.
const renewals = 3

// observation is a lease of another process and the time at which this process first
// saw it in its present turn, by [Options.Uptime].
type observation struct {
	lease store.Lease
	since time.Duration
}

// lease takes the lease of a deployment. If another process has it, lease reports
// false and the time until the lease may have expired.
func (c *Control) lease(ctx context.Context, d *store.Unfinished) (leased bool, wait time.Duration, err error) {
	if c.Replica == "" {
		return true, 0, nil
	}
	if d.Lease.Owner != "" && d.Lease.Owner != c.Replica {
		if wait = c.observe(d.ID, d.Lease); wait > 0 {
			return false, wait, nil
		}
	}
	leased, err = c.Store.TakeLease(ctx, d.ID, d.Lease, c.Replica)
	return leased, c.LeaseTime, err
}

// observe returns the time after which the lease of another process has expired, if
// it stays the same.
func (c *Control) observe(id lateen.DeploymentID, lease store.Lease) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Uptime()
	seen, ok := c.leases[id]
	if !ok || seen.lease != lease {
		seen = observation{lease, now}
		c.leases[id] = seen
	}
	return seen.since + c.LeaseTime - now
}

// forgetLeases drops the observations of deployments that no longer wait.
func (c *Control) forgetLeases(waiting []store.Unfinished) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.leases) <= len(waiting) {
		return
	}
	current := make(map[lateen.DeploymentID]observation, len(waiting))
	for i := range waiting {
		if seen, ok := c.leases[waiting[i].ID]; ok {
			current[waiting[i].ID] = seen
		}
	}
	c.leases = current
}

// holdLease renews the lease of a deployment until end is called, which gives the
// lease up. It stops the assembly when the lease is lost, or may be because the store
// does not answer.
func (c *Control) holdLease(ctx context.Context, id lateen.DeploymentID) (end func()) {
	if c.Replica == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.renewLease(ctx, id)
	}()
	return func() {
		cancel()
		<-ended
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.LeaseTime)
		defer cancel()
		if err := c.Store.EndLease(ctx, id, c.Replica); err != nil {
			c.Log.WarnContext(ctx, "a lease was not given up; other processes wait until it expires", "deployment_id", id, "err", err)
		}
	}
}

func (c *Control) renewLease(ctx context.Context, id lateen.DeploymentID) {
	tick := time.NewTicker(c.LeaseTime / renewals)
	defer tick.Stop()
	renewed := c.Uptime()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		begun := c.Uptime()
		limited, cancel := context.WithTimeout(ctx, c.LeaseTime/renewals)
		leased, err := c.Store.RenewLease(limited, id, c.Replica)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && leased:
			renewed = begun
			continue
		case err != nil && c.Uptime()-renewed < c.LeaseTime*(renewals-1)/renewals:
			c.Log.WarnContext(ctx, "a lease was not renewed; trying again", "deployment_id", id, "err", err)
			continue
		}
		c.Log.WarnContext(ctx, "an assembly ended: its lease is lost", "deployment_id", id, "err", err)
		c.stop(id, errLeaseLost)
		return
	}
}

// checkLease fails with errLeaseLost if another process has the lease of a
// deployment.
func (c *Control) checkLease(ctx context.Context, q *store.Queries, id lateen.DeploymentID) error {
	if c.Replica == "" {
		return nil
	}
	owner, err := q.LeaseOwner(ctx, id)
	if err == nil && owner != c.Replica {
		err = errLeaseLost
	}
	return err
}
