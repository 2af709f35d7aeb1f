package store

import (
	"context"
	"strings"

	"github.com/lateen-dev/lateen"
)

// CreateEnv adds a variable. The caller seals its value. Errors:
// [lateen.ErrEnvTaken] if the project has a variable of the same key and branch in
// one of its environments, [lateen.ErrProjectNotFound].
func (q *Queries) CreateEnv(ctx context.Context, e *lateen.EnvVar) error {
	return q.write(ctx, func(q *Queries) error {
		err := q.exec(ctx, meaning{dangling: lateen.ErrProjectNotFound},
			`INSERT INTO env_vars (id, project_id, key, value, type, git_branch, comment, created_at, updated_at)
			 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.ID, e.Project, e.Key, []byte(e.Value), e.Type, e.GitBranch, e.Comment, e.CreatedAt, e.UpdatedAt)
		if err != nil {
			return err
		}
		return q.putEnvTargets(ctx, e)
	})
}

// GetEnv returns a variable of a project. Errors: [lateen.ErrEnvNotFound].
func (q *Queries) GetEnv(ctx context.Context, project lateen.ProjectID, id lateen.EnvID) (*lateen.EnvVar, error) {
	return one(ctx, q, lateen.ErrEnvNotFound, scanEnv, selectEnv+` WHERE project_id = ? AND id = ?`, project, id)
}

// ListEnv returns the variables of a project, sorted by key, then oldest first.
func (q *Queries) ListEnv(ctx context.Context, project lateen.ProjectID) ([]*lateen.EnvVar, error) {
	return list(ctx, q, scanEnv, selectEnv+` WHERE project_id = ? ORDER BY key, created_at, id`, project)
}

// UpdateEnv writes all fields of a variable except its id, project and creation
// time. Errors: [lateen.ErrEnvNotFound], [lateen.ErrEnvTaken] as for CreateEnv.
func (q *Queries) UpdateEnv(ctx context.Context, e *lateen.EnvVar) error {
	return q.write(ctx, func(q *Queries) error {
		err := q.exec(ctx, meaning{missing: lateen.ErrEnvNotFound},
			`UPDATE env_vars SET key = ?, value = ?, type = ?, git_branch = ?, comment = ?, updated_at = ?
			 WHERE project_id = ? AND id = ?`,
			e.Key, []byte(e.Value), e.Type, e.GitBranch, e.Comment, e.UpdatedAt, e.Project, e.ID)
		if err != nil {
			return err
		}
		if _, err := q.execAny(ctx, meaning{}, `DELETE FROM env_targets WHERE env_id = ?`, e.ID); err != nil {
			return err
		}
		return q.putEnvTargets(ctx, e)
	})
}

// DeleteEnv removes a variable of a project. Errors: [lateen.ErrEnvNotFound].
func (q *Queries) DeleteEnv(ctx context.Context, project lateen.ProjectID, id lateen.EnvID) error {
	return q.exec(ctx, meaning{missing: lateen.ErrEnvNotFound},
		`DELETE FROM env_vars WHERE project_id = ? AND id = ?`, project, id)
}

// putEnvTargets writes one row per environment. A constraint of the database ensures
// that an environment has one variable per key and branch.
func (q *Queries) putEnvTargets(ctx context.Context, e *lateen.EnvVar) error {
	for i, target := range e.Target {
		err := q.exec(ctx, meaning{taken: lateen.ErrEnvTaken},
			`INSERT INTO env_targets (env_id, position, project_id, key, target, git_branch) VALUES (?, ?, ?, ?, ?, ?)`,
			e.ID, i, e.Project, e.Key, target, e.GitBranch)
		if err != nil {
			return err
		}
	}
	return nil
}

// An environment's name has no comma.
const selectEnv = `SELECT id, project_id, key, value, type,
	COALESCE((SELECT string_agg(target, ',' ORDER BY position) FROM env_targets WHERE env_id = env_vars.id), ''),
	git_branch, comment, created_at, updated_at FROM env_vars`

func scanEnv(r row) (*lateen.EnvVar, error) {
	e := &lateen.EnvVar{}
	var value []byte
	var targets string
	err := r.Scan(&e.ID, &e.Project, &e.Key, &value, &e.Type, &targets, &e.GitBranch, &e.Comment, &e.CreatedAt, &e.UpdatedAt)
	e.Value = string(value)
	if targets != "" {
		for name := range strings.SplitSeq(targets, ",") {
			e.Target = append(e.Target, lateen.Environment(name))
		}
	}
	return e, err
}
