package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// DeployRequest asks for a deployment. Either Files or From says of what.
type DeployRequest struct {
	Project string // id or name; one that is not there is made
	Target  string // production, preview or a custom environment; "" is preview, or production for a project's first

	Files    []lateen.UploadFile
	Prebuilt bool                // an archive in Files holds a build output
	Config   []string            // names of the fields in vercel.json, to say which have no effect
	From     lateen.DeploymentID // deploy the files of this deployment again

	Settings    lateen.ProjectSettings // of a project that is made
	Env         map[string]string      // over the project's variables
	Meta        map[string]string
	Git         *lateen.GitMetadata
	Source      string // who asks: cli, api
	SkipAliases bool   // stage a production deployment without its hosts
}

// promoteAction is the Meta["action"] of a production build made from a
// preview to be promoted.
const promoteAction = "promote"

// Deploy accepts a deployment: once it returns, the deployment outlives a crash
// and will be assembled by [Control.Run]. Content that was not uploaded is
// [lateen.ErrMissingFiles].
func (c *Control) Deploy(ctx context.Context, r DeployRequest) (*lateen.Deployment, error) {
	p, err := act(ctx, lateen.DeploymentWrite)
	if err != nil {
		return nil, err
	}
	if r.Target != "" {
		if err := validateTarget(r.Target); err != nil {
			return nil, err
		}
	}
	if r.Target == lateen.Development {
		return nil, lateen.ErrTargetInvalid.With("a deployment can't have the target development")
	}
	if err := (&lateen.Deployment{Source: r.Source, Meta: r.Meta, Git: r.Git}).ValidateMeta(); err != nil {
		return nil, err
	}
	c.sweeper.RLock()
	defer c.sweeper.RUnlock()
	var files lateen.Digest
	if r.From == "" {
		files, err = c.keepListing(ctx, p.Team, &r)
	} else {
		files, err = c.repeat(ctx, p, &r)
	}
	if err != nil {
		return nil, err
	}
	var d *lateen.Deployment
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		d = &lateen.Deployment{
			ID: lateen.NewID[lateen.DeploymentID]("dpl_", c.Now()), Team: p.Team, Creator: p.User,
			Target: r.Target, Source: r.Source, State: lateen.Queued, CreatedAt: c.now(),
			Meta: r.Meta, Git: r.Git, SkipAliases: r.SkipAliases, Files: files,
		}
		return c.createDeployment(ctx, q, p, d, &r)
	})
	if err != nil {
		return nil, err
	}
	c.signal()
	return d, nil
}

func (c *Control) createDeployment(ctx context.Context, q *store.Queries, p lateen.Principal, d *lateen.Deployment, r *DeployRequest) error {
	project, err := findProject(ctx, q, p, r.Project)
	if errors.Is(err, lateen.ErrProjectNotFound) && p.Project == "" && !strings.HasPrefix(r.Project, "prj_") {
		if err := p.May(lateen.ProjectCreate); err != nil {
			return err
		}
		project, err = c.createProject(ctx, q, p, r.Project, r.Settings)
	}
	if err != nil {
		return err
	}
	team, err := q.GetTeam(ctx, string(p.Team))
	if err != nil {
		return err
	}
	if d.Target == "" {
		if d.Target, err = defaultTarget(ctx, q, project.ID, r.From); err != nil {
			return err
		}
	}
	last, err := q.LastCreated(ctx, project.ID)
	if err != nil {
		return err
	}
	d.CreatedAt = max(d.CreatedAt, last+1) // lists are by it, also after the clock is set back
	d.Project, d.Name, d.Host = project.ID, project.Name, c.ownHost(project, team)
	if d.Env, err = c.freeze(ctx, q, project, team, d, r.Env); err != nil {
		return err
	}
	if err := q.CreateDeployment(ctx, d); err != nil {
		return err
	}
	action := lateen.ActionDeploymentCreate
	if d.Meta["action"] == promoteAction {
		action = lateen.ActionPromote
	}
	if err := c.record(ctx, q, p, action, d.Project, d.Host); err != nil {
		return err
	}
	if d.Target == lateen.Production && d.Meta["action"] == promoteAction {
		project.LastAliasRequest = &lateen.AliasRequest{
			Type: promoteAction, From: project.Production, To: d.ID, JobStatus: "pending", RequestedAt: d.CreatedAt,
		}
		return q.UpdateProject(ctx, project)
	}
	return nil
}

// repeat fills in what a request takes over from the deployment it repeats, and
// returns the listing to deploy.
func (c *Control) repeat(ctx context.Context, p lateen.Principal, r *DeployRequest) (lateen.Digest, error) {
	from, err := c.Store.FindDeployment(ctx, p.Team, string(r.From))
	if err != nil {
		return "", err
	}
	if !p.Reaches(from.Project) {
		return "", lateen.ErrDeploymentNotFound
	}
	meta := make(map[string]string, len(from.Meta)+len(r.Meta))
	maps.Copy(meta, from.Meta)
	delete(meta, "action")
	maps.Copy(meta, r.Meta)
	r.Project, r.Git, r.Meta = string(from.Project), from.Git, meta
	return c.repeatListing(ctx, from.Files)
}

// defaultTarget is that of a deployment that names none: the first one of a
// project, of those that did not fail, is production.
func defaultTarget(ctx context.Context, q *store.Queries, project lateen.ProjectID, from lateen.DeploymentID) (string, error) {
	if from != "" {
		return lateen.Preview, nil
	}
	earlier, err := q.ListDeployments(ctx, store.DeploymentFilter{
		Project: project, Limit: 1,
		States: []lateen.ReadyState{lateen.Queued, lateen.Initializing, lateen.Building, lateen.Deploying, lateen.Ready},
	})
	if err != nil || len(earlier) > 0 {
		return lateen.Preview, err
	}
	return lateen.Production, nil
}

// Deployment returns a deployment of the caller's team by its id, its own host
// or an alias; case, a port and a dot at the end do not matter.
func (c *Control) Deployment(ctx context.Context, idOrHost string) (*lateen.Deployment, error) {
	p, err := act(ctx, lateen.DeploymentRead)
	if err != nil {
		return nil, err
	}
	return find(ctx, c.Store.Queries, p, idOrHost)
}

func find(ctx context.Context, q *store.Queries, p lateen.Principal, idOrHost string) (*lateen.Deployment, error) {
	if host, _, err := net.SplitHostPort(idOrHost); err == nil {
		idOrHost = host
	}
	idOrHost = strings.ToLower(strings.TrimSuffix(idOrHost, "."))
	d, err := q.FindDeployment(ctx, p.Team, idOrHost)
	if err == nil && !p.Reaches(d.Project) {
		return nil, lateen.ErrDeploymentNotFound
	}
	if !errors.Is(err, lateen.ErrDeploymentNotFound) {
		return d, err
	}
	alias, aliasErr := q.GetAlias(ctx, idOrHost)
	switch {
	case errors.Is(aliasErr, lateen.ErrAliasNotFound), aliasErr == nil && (alias.Team != p.Team || !p.Reaches(alias.Project)):
		return nil, err
	case aliasErr != nil:
		return nil, aliasErr
	}
	return q.GetDeployment(ctx, alias.Deployment)
}

// Deployments lists deployments of the caller's team, newest first. The
// filter's team is the caller's.
func (c *Control) Deployments(ctx context.Context, filter store.DeploymentFilter) ([]*lateen.Deployment, error) {
	p, err := act(ctx, lateen.DeploymentRead)
	if err != nil {
		return nil, err
	}
	if filter.Team = p.Team; !narrow(p, &filter.Project) {
		return nil, nil
	}
	return c.Store.ListDeployments(ctx, filter)
}

// Cancel stops a deployment that is not ready yet.
func (c *Control) Cancel(ctx context.Context, idOrHost string) (*lateen.Deployment, error) {
	p, err := act(ctx, lateen.DeploymentWrite)
	if err != nil {
		return nil, err
	}
	var d *lateen.Deployment
	err = c.reroute(ctx, func(q *store.Queries, moved routes) error {
		if d, err = find(ctx, q, p, idOrHost); err != nil {
			return err
		}
		if d.State.Final() {
			return lateen.ErrDeploymentFinal.With("the deployment is %s: there is nothing to cancel", d.State)
		}
		d.State, moved[d.Host] = lateen.Canceled, ""
		return errors.Join(
			q.UpdateDeployment(ctx, d),
			q.AppendEvents(ctx, d.ID, c.stateEvent(d.State)),
			c.failRequest(ctx, q, d),
			c.record(ctx, q, p, lateen.ActionDeploymentCancel, d.Project, d.Host))
	})
	if err != nil {
		return nil, err
	}
	c.stop(d.ID, lateen.ErrDeploymentFinal)
	c.watch.changed(d.ID)
	return d, nil
}

// DeleteDeployment removes a deployment and the aliases that lead to it. With
// safe it refuses one that aliases lead to.
func (c *Control) DeleteDeployment(ctx context.Context, idOrHost string, safe bool) (*lateen.Deployment, error) {
	p, err := act(ctx, lateen.DeploymentDelete)
	if err != nil {
		return nil, err
	}
	var d *lateen.Deployment
	err = c.reroute(ctx, func(q *store.Queries, moved routes) error {
		if d, err = find(ctx, q, p, idOrHost); err != nil {
			return err
		}
		aliases, err := q.ListAliases(ctx, store.AliasFilter{Deployment: d.ID})
		if err != nil {
			return err
		}
		if safe && len(aliases) > 0 {
			return lateen.ErrDeploymentAliased.With("%s leads to the deployment", aliases[0].Host).
				WithHint("point it elsewhere first, or delete without --safe")
		}
		moved[d.Host] = ""
		lost := []string{d.Host}
		for _, a := range aliases {
			moved[a.Host] = ""
			lost = append(lost, a.Host)
		}
		if err := errors.Join(
			c.letGo(ctx, q, d), q.NoteDeployment(ctx, d.ID, c.now()),
			c.record(ctx, q, p, lateen.ActionDeploymentDelete, d.Project, d.Host),
		); err != nil {
			return err
		}
		if err := q.DeleteDeployment(ctx, d.ID); err != nil {
			return err
		}
		return c.dropBelow(ctx, q, p, d.Project, lost, moved)
	})
	if err != nil {
		return nil, err
	}
	c.stop(d.ID, lateen.ErrDeploymentNotFound)
	c.Traffic.Forget(d.ID)
	c.watch.changed(d.ID)
	return d, nil
}

// Manifest returns the compiled form of a deployment of the caller's team, nil
// until it is assembled.
func (c *Control) Manifest(ctx context.Context, idOrHost string) (*lateen.Deployment, *lateen.Manifest, error) {
	d, err := c.Deployment(ctx, idOrHost)
	if err != nil || d.Manifest == "" {
		return d, nil, err
	}
	manifest, err := c.manifest(ctx, d)
	return d, manifest, err
}

// Site returns what serving a deployment needs. It asks for no principal: the
// edge serves everybody.
func (c *Control) Site(ctx context.Context, id lateen.DeploymentID) (*lateen.Site, error) {
	d, err := c.Store.GetDeployment(ctx, id)
	if err != nil {
		return nil, err
	}
	if d.Manifest == "" {
		return nil, lateen.ErrDeploymentNotReady
	}
	project, err := c.Store.FindProject(ctx, d.Project)
	if err != nil {
		return nil, err
	}
	team, err := c.Store.GetTeam(ctx, string(d.Team))
	if err != nil {
		return nil, err
	}
	manifest, err := c.manifest(ctx, d)
	if err != nil {
		return nil, err
	}
	env := new(frozenEnv)
	if manifest.UsesEnv() {
		if env, err = c.thaw(d); err != nil {
			return nil, err
		}
	}
	return &lateen.Site{
		Team: d.Team, TeamSlug: team.Slug, Project: d.Project, ProjectName: project.Name,
		Deployment: d.ID, Host: d.Host, Target: d.Target, Branch: branchOf(d),
		CreatedAt: builtAt(d), Manifest: manifest, Env: env.Values, ShowsStart: project.ShowsStart(d.Target), Weight: project.Weight,
	}, nil
}

// builtAt is when a deployment was made by the clock of the host at that time.
func builtAt(d *lateen.Deployment) lateen.Millis {
	if d.BuildingAt == 0 {
		return d.CreatedAt
	}
	return min(d.CreatedAt, d.BuildingAt)
}

// Production returns the deployment that serves production of a project, "" if
// there is none.
func (c *Control) Production(ctx context.Context, project lateen.ProjectID) (lateen.DeploymentID, error) {
	if _, err := act(ctx, lateen.DeploymentRead); err != nil {
		return "", err
	}
	p, err := c.Store.FindProject(ctx, project)
	if errors.Is(err, lateen.ErrProjectNotFound) { // it was deleted meanwhile
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find the production of %s: %w", project, err)
	}
	return p.Production, nil
}

// Productions returns the deployment in production of every project that has
// one, for the start of the platform.
func (c *Control) Productions(ctx context.Context) (map[lateen.ProjectID]lateen.DeploymentID, error) {
	all, err := c.Store.ListProductions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list deployments in production: %w", err)
	}
	out := make(map[lateen.ProjectID]lateen.DeploymentID, len(all))
	for _, p := range all {
		out[p.Project] = p.Deployment
	}
	return out, nil
}

// Hosts returns where every host leads, for the start of the platform.
func (c *Control) Hosts(ctx context.Context) (map[string]lateen.DeploymentID, error) {
	hosts, err := c.Store.ListHosts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	out := make(map[string]lateen.DeploymentID, len(hosts))
	for _, h := range hosts {
		out[h.Name] = h.Deployment
	}
	return out, nil
}
