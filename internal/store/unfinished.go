package store

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// Unfinished is a deployment that is not in a final state.
type Unfinished struct {
	ID         lateen.DeploymentID
	Team       lateen.TeamID
	Project    lateen.ProjectID
	State      lateen.ReadyState
	BuildingAt lateen.Millis // start of its last assembly; 0 is never
	Lease      Lease
}

// ListUnfinished returns the deployments that are not in a final state, oldest
// first. The states are literals, as in the partial index for this query: a database
// uses a partial index only for a condition that implies the index's condition.
func (q *Queries) ListUnfinished(ctx context.Context) ([]Unfinished, error) {
	return list(ctx, q, scanUnfinished, `SELECT id, team_id, project_id, state, building_at, lease_owner, lease_turn FROM deployments
		WHERE state IN ('QUEUED', 'BUILDING', 'DEPLOYING') ORDER BY created_at, id`)
}

func scanUnfinished(r row) (Unfinished, error) {
	var u Unfinished
	err := r.Scan(&u.ID, &u.Team, &u.Project, &u.State, &u.BuildingAt, &u.Lease.Owner, &u.Lease.Turn)
	return u, err
}

// ListUnsettled returns up to limit READY deployments whose AliasedAt is 0, sorted
// by id, after the given id.
func (q *Queries) ListUnsettled(ctx context.Context, after lateen.DeploymentID, limit int) ([]lateen.DeploymentID, error) {
	return list(ctx, q, scanText[lateen.DeploymentID], `SELECT id FROM deployments
		WHERE state = 'READY' AND aliased_at = 0 AND id > ? ORDER BY id LIMIT ?`, after, limit)
}

// ListDeploymentIDs returns the ids of all deployments of a project.
func (q *Queries) ListDeploymentIDs(ctx context.Context, project lateen.ProjectID) ([]lateen.DeploymentID, error) {
	return list(ctx, q, scanText[lateen.DeploymentID], `SELECT id FROM deployments WHERE project_id = ? ORDER BY created_at, id`, project)
}

// ListTargets returns the environments of the deployments of a project without
// duplicates.
func (q *Queries) ListTargets(ctx context.Context, project lateen.ProjectID) ([]lateen.Environment, error) {
	return list(ctx, q, scanText[lateen.Environment], // seeks from one target to the next in the index; DISTINCT would read every row
		`WITH RECURSIVE found(target) AS (
			SELECT MIN(target) FROM deployments WHERE project_id = ?
			UNION ALL SELECT (SELECT MIN(target) FROM deployments WHERE project_id = ? AND target > found.target) FROM found WHERE target IS NOT NULL
		) SELECT target FROM found WHERE target IS NOT NULL`, project, project)
}

// ListDeploymentHosts returns the own hosts of up to limit deployments of a project,
// newest first, in any state.
func (q *Queries) ListDeploymentHosts(ctx context.Context, project lateen.ProjectID, limit int) ([]Host, error) {
	return list(ctx, q, scanHost, `SELECT host, id, '' FROM deployments WHERE project_id = ?
		ORDER BY created_at DESC, id DESC LIMIT ?`, project, limit)
}
