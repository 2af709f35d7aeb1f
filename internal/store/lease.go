package store

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// Lease is the lease of a process on the assembly of a deployment. The owner renews
// it at intervals, which changes the turn. Other processes observe for how long a
// lease stays the same, so clocks need not agree.
type Lease struct {
	Owner string // "" is no process
	Turn  int64
}

// TakeLease gives the lease of a deployment to owner, and reports whether the lease
// was still the same as seen.
func (q *Queries) TakeLease(ctx context.Context, id lateen.DeploymentID, seen Lease, owner string) (bool, error) {
	n, err := q.execAny(ctx, meaning{},
		`UPDATE deployments SET lease_owner = ?, lease_turn = lease_turn + 1 WHERE id = ? AND lease_owner = ? AND lease_turn = ?`,
		owner, id, seen.Owner, seen.Turn)
	return n == 1, err
}

// RenewLease renews the lease of owner on a deployment, and reports whether owner
// still has it.
func (q *Queries) RenewLease(ctx context.Context, id lateen.DeploymentID, owner string) (bool, error) {
	n, err := q.execAny(ctx, meaning{}, `UPDATE deployments SET lease_turn = lease_turn + 1 WHERE id = ? AND lease_owner = ?`, id, owner)
	return n == 1, err
}

// EndLease gives up the lease of owner on a deployment, if owner has it.
func (q *Queries) EndLease(ctx context.Context, id lateen.DeploymentID, owner string) error {
	_, err := q.execAny(ctx, meaning{}, `UPDATE deployments SET lease_owner = '', lease_turn = lease_turn + 1 WHERE id = ? AND lease_owner = ?`, id, owner)
	return err
}

// LeaseOwner returns the owner of the lease of a deployment, "" if there is none.
// Errors: [lateen.ErrDeploymentNotFound].
func (q *Queries) LeaseOwner(ctx context.Context, id lateen.DeploymentID) (string, error) {
	return one(ctx, q, lateen.ErrDeploymentNotFound, scanText[string], `SELECT lease_owner FROM deployments WHERE id = ?`, id)
}
