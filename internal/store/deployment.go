package store

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// DeploymentFilter selects deployments; a zero field selects all.
type DeploymentFilter struct {
	Team    lateen.TeamID
	Project lateen.ProjectID
	App     string              // the project's name at the time of the deployment
	States  []lateen.ReadyState // one of these
	Target  lateen.Environment
	Branch  string            // of its Git metadata
	Users   []lateen.UserID   // creators
	Meta    map[string]string // required metadata
	Since   lateen.Millis     // created at or after this time
	Until   lateen.Millis     // created before this time
	Limit   int               // as in [Queries.ListProjects]
}

// CreateDeployment adds a deployment and sets its Serial to the next one of its
// project. Errors: [lateen.ErrDeploymentTaken] if its host or id exists,
// [lateen.ErrProjectNotFound].
func (q *Queries) CreateDeployment(ctx context.Context, d *lateen.Deployment) error {
	return q.write(ctx, func(q *Queries) error {
		last, err := one(ctx, q, lateen.ErrProjectNotFound, scanSerial,
			`SELECT COALESCE(MAX(serial), 0) FROM deployments WHERE project_id = ?`, d.Project)
		if err != nil {
			return err
		}
		d.Serial = last + 1
		err = q.exec(ctx, meaning{taken: lateen.ErrDeploymentTaken, dangling: lateen.ErrProjectNotFound},
			`INSERT INTO deployments (id, project_id, team_id, name, host, target, source, creator_id, state, error_reason,
				error_text, created_at, building_at, ready_at, aliased_at, meta, git, branch, skip_aliases, served_at, manifest, files, env, serial)
			 VALUES (`+placeholders(24)+`)`,
			d.ID, d.Project, d.Team, d.Name, d.Host, d.Target, d.Source, d.Creator, d.State, d.ErrorReason,
			d.ErrorText, d.CreatedAt, d.BuildingAt, d.ReadyAt, d.AliasedAt, asJSON[map[string]string]{&d.Meta},
			asJSON[*lateen.GitMetadata]{&d.Git}, branch(d), d.SkipAliases, d.ServedAt, d.Manifest, d.Files, d.Env, d.Serial)
		if err != nil {
			return err
		}
		return q.putMeta(ctx, d)
	})
}

// LastCreated returns the greatest CreatedAt of the deployments of a project, 0 if
// there is none.
func (q *Queries) LastCreated(ctx context.Context, project lateen.ProjectID) (lateen.Millis, error) {
	last, err := one(ctx, q, lateen.ErrProjectNotFound, scanSerial,
		`SELECT COALESCE(MAX(created_at), 0) FROM deployments WHERE project_id = ?`, project)
	return lateen.Millis(last), err
}

// GetDeployment returns a deployment of any team.
// Errors: [lateen.ErrDeploymentNotFound].
func (q *Queries) GetDeployment(ctx context.Context, id lateen.DeploymentID) (*lateen.Deployment, error) {
	return one(ctx, q, lateen.ErrDeploymentNotFound, scanDeployment, selectDeployment+` WHERE id = ?`, id)
}

// FindDeployment returns a deployment of a team by its id or own host, not by an
// alias ([Queries.GetAlias]). Errors: [lateen.ErrDeploymentNotFound].
func (q *Queries) FindDeployment(ctx context.Context, team lateen.TeamID, idOrHost string) (*lateen.Deployment, error) {
	return one(ctx, q, lateen.ErrDeploymentNotFound.With("deployment %q not found", idOrHost), scanDeployment,
		selectDeployment+` WHERE team_id = ? AND (id = ? OR host = ?)`, team, idOrHost, idOrHost)
}

// GetDeploymentByHost returns the deployment of any team whose own host is host.
// Errors: [lateen.ErrDeploymentNotFound].
func (q *Queries) GetDeploymentByHost(ctx context.Context, host string) (*lateen.Deployment, error) {
	return one(ctx, q, lateen.ErrDeploymentNotFound, scanDeployment, selectDeployment+` WHERE host = ?`, host)
}

// ListDeployments returns deployments without their Env, newest first, in
// pages like those of [Queries.ListProjects].
func (q *Queries) ListDeployments(ctx context.Context, f DeploymentFilter) ([]*lateen.Deployment, error) {
	if len(f.States) > 1 {
		return q.listByState(ctx, f)
	}
	var w where
	equal(&w, "team_id", f.Team)
	equal(&w, "project_id", f.Project)
	equal(&w, "name", f.App)
	equal(&w, "target", f.Target)
	equal(&w, "branch", f.Branch)
	among(&w, "state", f.States)
	among(&w, "creator_id", f.Users)
	if f.Since != 0 {
		w.and("created_at >= ?", f.Since)
	}
	for key, value := range f.Meta {
		// A planner without statistics would scan all deployments of the team.
		if found, err := q.hasMeta(ctx, key, value); err != nil || !found {
			return nil, err
		}
		w.and(`id IN (SELECT deployment_id FROM deployment_meta WHERE key = ? AND value = ?)`, key, value)
	}
	key := func(d *lateen.Deployment) (lateen.Millis, string) { return d.CreatedAt, string(d.ID) }
	return page(ctx, q, scanDeployment, key, listDeployment, w, f.Until, f.Limit)
}

// hasMeta reports whether a deployment of any team has a metadata value.
func (q *Queries) hasMeta(ctx context.Context, key, value string) (bool, error) {
	found, err := list(ctx, q, scanText[string], `SELECT key FROM deployment_meta WHERE key = ? AND value = ? LIMIT 1`, key, value)
	return len(found) > 0, err
}

// listByState merges the lists of several states: an index sorts each state, but not
// all of them together.
func (q *Queries) listByState(ctx context.Context, f DeploymentFilter) ([]*lateen.Deployment, error) {
	var all []*lateen.Deployment
	for _, state := range lifecycle() { // in this order, a deployment that changes its state meanwhile is not missed
		if !slices.Contains(f.States, state) {
			continue
		}
		one := f
		one.States = []lateen.ReadyState{state}
		some, err := q.ListDeployments(ctx, one)
		if err != nil {
			return nil, err
		}
		all = append(some, all...)
	}
	slices.SortStableFunc(all, func(a, b *lateen.Deployment) int {
		return cmp.Or(-cmp.Compare(a.CreatedAt, b.CreatedAt), -cmp.Compare(a.ID, b.ID))
	})
	all = slices.CompactFunc(all, func(a, b *lateen.Deployment) bool { return a.ID == b.ID })
	if f.Limit <= 0 || len(all) <= f.Limit {
		return all, nil
	}
	end := f.Limit
	for end < len(all) && all[end].CreatedAt == all[end-1].CreatedAt {
		end++
	}
	return all[:end], nil
}

// lifecycle returns all states, each after its possible predecessors.
func lifecycle() []lateen.ReadyState {
	return []lateen.ReadyState{lateen.Queued, lateen.Initializing, lateen.Building, lateen.Deploying, lateen.Ready, lateen.Failed, lateen.Canceled}
}

// UpdateDeployment writes all fields of a deployment except the immutable ones: id,
// project, team, host, creator, creation time, Serial and Env. Errors:
// [lateen.ErrDeploymentNotFound].
func (q *Queries) UpdateDeployment(ctx context.Context, d *lateen.Deployment) error {
	return q.write(ctx, func(q *Queries) error {
		err := q.exec(ctx, meaning{missing: lateen.ErrDeploymentNotFound},
			`UPDATE deployments SET name = ?, target = ?, source = ?, state = ?, error_reason = ?, error_text = ?,
				building_at = ?, ready_at = ?, aliased_at = ?, meta = ?, git = ?, branch = ?, skip_aliases = ?, served_at = ?, manifest = ?, files = ?
			 WHERE id = ?`,
			d.Name, d.Target, d.Source, d.State, d.ErrorReason, d.ErrorText,
			d.BuildingAt, d.ReadyAt, d.AliasedAt, asJSON[map[string]string]{&d.Meta}, asJSON[*lateen.GitMetadata]{&d.Git},
			branch(d), d.SkipAliases, d.ServedAt, d.Manifest, d.Files, d.ID)
		if err != nil {
			return err
		}
		if _, err := q.execAny(ctx, meaning{}, `DELETE FROM deployment_meta WHERE deployment_id = ?`, d.ID); err != nil {
			return err
		}
		return q.putMeta(ctx, d)
	})
}

// DeleteDeployment removes a deployment with its events and aliases. If it was in
// production, its project has no production deployment afterwards. Errors:
// [lateen.ErrDeploymentNotFound].
func (q *Queries) DeleteDeployment(ctx context.Context, id lateen.DeploymentID) error {
	return q.exec(ctx, meaning{missing: lateen.ErrDeploymentNotFound}, `DELETE FROM deployments WHERE id = ?`, id)
}

// Host is a name under which a deployment is served.
type Host struct {
	Name       string
	Deployment lateen.DeploymentID
	Redirect   string // host to which requests are redirected; "" serves the deployment
}

// ListHosts returns the hosts of all READY deployments: their own hosts and their
// aliases.
func (q *Queries) ListHosts(ctx context.Context) ([]Host, error) {
	return list(ctx, q, scanHost, `SELECT host, id, '' FROM deployments WHERE state = ?
		UNION ALL
		SELECT aliases.host, deployments.id, aliases.redirect FROM aliases JOIN deployments ON deployments.id = aliases.deployment_id WHERE state = ?`,
		lateen.Ready, lateen.Ready)
}

func scanHost(r row) (Host, error) {
	var h Host
	err := r.Scan(&h.Name, &h.Deployment, &h.Redirect)
	return h, err
}

// Root is the artifacts that a deployment references; either may be "".
type Root struct {
	Manifest lateen.Digest
	Files    lateen.Digest
}

// ListRoots returns the roots of all deployments without duplicates.
func (q *Queries) ListRoots(ctx context.Context) ([]Root, error) {
	return list(ctx, q, scanRoot, `SELECT DISTINCT manifest, files FROM deployments ORDER BY manifest, files`)
}

// Holder is a deployment with the artifacts that it references.
type Holder struct {
	Root

	ID   lateen.DeploymentID
	Name string // of its project, at the time of the deployment
}

// ListHolders returns all deployments, in any state, sorted by id.
func (q *Queries) ListHolders(ctx context.Context) ([]Holder, error) {
	return list(ctx, q, scanHolder, `SELECT id, name, manifest, files FROM deployments ORDER BY id`)
}

func scanHolder(r row) (Holder, error) {
	var h Holder
	err := r.Scan(&h.ID, &h.Name, &h.Manifest, &h.Files)
	return h, err
}

func scanRoot(r row) (Root, error) {
	var root Root
	err := r.Scan(&root.Manifest, &root.Files)
	return root, err
}

// putMeta writes the rows that make a deployment's Meta searchable.
func (q *Queries) putMeta(ctx context.Context, d *lateen.Deployment) error {
	pairs := make([][2]string, 0, len(d.Meta))
	for key, value := range d.Meta {
		pairs = append(pairs, [2]string{key, value})
	}
	for chunk := range slices.Chunk(pairs, maxParameters/3) {
		args := make([]any, 0, 3*len(chunk))
		for _, pair := range chunk {
			args = append(args, d.ID, pair[0], pair[1])
		}
		rows := strings.TrimSuffix(strings.Repeat("(?, ?, ?), ", len(chunk)), ", ")
		if err := q.exec(ctx, meaning{}, `INSERT INTO deployment_meta (deployment_id, key, value) VALUES `+rows, args...); err != nil {
			return err
		}
	}
	return nil
}

func branch(d *lateen.Deployment) string {
	if d.Git == nil {
		return ""
	}
	return d.Git.CommitRef
}

const (
	deploymentColumns = `SELECT id, project_id, team_id, name, host, target, source, creator_id, state, error_reason,
	error_text, created_at, building_at, ready_at, aliased_at, meta, git, skip_aliases, served_at, manifest, files, serial, `
	selectDeployment = deploymentColumns + `env FROM deployments`
	listDeployment   = deploymentColumns + `NULL FROM deployments`
)

func scanDeployment(r row) (*lateen.Deployment, error) {
	d := &lateen.Deployment{}
	return d, r.Scan(&d.ID, &d.Project, &d.Team, &d.Name, &d.Host, &d.Target, &d.Source, &d.Creator, &d.State, &d.ErrorReason,
		&d.ErrorText, &d.CreatedAt, &d.BuildingAt, &d.ReadyAt, &d.AliasedAt, asJSON[map[string]string]{&d.Meta},
		asJSON[*lateen.GitMetadata]{&d.Git}, &d.SkipAliases, &d.ServedAt, &d.Manifest, &d.Files, &d.Serial, &d.Env)
}

// FindSealed returns the newest deployment with a sealed environment; ok is false if
// there is none.
func (q *Queries) FindSealed(ctx context.Context) (d *lateen.Deployment, ok bool, err error) {
	found, err := list(ctx, q, scanDeployment, selectDeployment+` WHERE env IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 1`)
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	return found[0], true, nil
}

// HasEnv reports whether any project has a variable.
func (q *Queries) HasEnv(ctx context.Context) (bool, error) {
	ids, err := list(ctx, q, scanText[string], `SELECT id FROM env_vars LIMIT 1`)
	return len(ids) > 0, err
}
