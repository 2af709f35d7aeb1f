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

// DeployRequest is a request for a deployment. Either Files or From names its
// content.
type DeployRequest struct {
	Project string             // id or name; a missing project is created
	Target  lateen.Environment // production, preview or a custom environment; "" is preview, or production for a project's first

	Files    []lateen.UploadFile
	Prebuilt bool                // an archive in Files holds a build output
	Config   []string            // names of the fields in vercel.json, to report those without effect
	From     lateen.DeploymentID // deploy the files of this deployment again

	Settings    lateen.ProjectSettings // for a project that is created
	Env         map[string]string      // overrides the project's variables
	Meta        map[string]string
	Git         *lateen.GitMetadata
	Source      string // client of the request: cli, api
	SkipAliases bool   // stage a production deployment without its hosts
}

// promoteAction is the Meta["action"] of a production build made from a
// preview to be promoted.
const promoteAction = "promote"

// Deploy accepts a deployment. A deployment that is returned survives a crash, and
// [Control.Run] assembles it. For content that was not uploaded, Deploy returns
// [lateen.ErrMissingFiles].
func (c *Control) Deploy(ctx context.Context, r DeployRequest) (*lateen.Deployment, error) {
	p, err := authorize(ctx, lateen.DeploymentWrite)
	if err != nil {
		return nil, err
	}
	if r.Target != "" {
		if err := r.Target.Validate(); err != nil {
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
	id := lateen.NewID[lateen.DeploymentID]("dpl_", c.Now())
	began := c.now()
	var d *lateen.Deployment
	ctx, end := lateen.StartSpan(lateen.WithSpans(ctx, id.Span(), c.Spans), "create")
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		d = &lateen.Deployment{
			ID: id, Team: p.Team, Creator: p.User,
			Target: r.Target, Source: r.Source, State: lateen.Queued, CreatedAt: c.now(),
			Meta: r.Meta, Git: r.Git, SkipAliases: r.SkipAliases, Files: files,
		}
		return c.createDeployment(ctx, q, p, d, &r, ch)
	})
	end(&err)
	if err != nil {
		c.endSpan(id, began, err)
		return nil, err
	}
	return d, nil
}

func (c *Control) createDeployment(ctx context.Context, q *store.Queries, p lateen.Principal, d *lateen.Deployment, r *DeployRequest, ch *changes) error {
	project, err := findProject(ctx, q, p, r.Project)
	if errors.Is(err, lateen.ErrProjectNotFound) && p.Project == "" && !strings.HasPrefix(r.Project, "prj_") {
		if err := p.May(lateen.ProjectCreate); err != nil {
			return err
		}
		project, err = c.createProject(ctx, q, p, r.Project, r.Settings, ch)
	}
	if err != nil {
		return err
	}
	team, err := q.GetTeam(ctx, string(p.Team))
	if err != nil {
		return err
	}
	if d.Target == "" {
		if d.Target, err = defaultTarget(ctx, q, project, r.From); err != nil {
			return err
		}
	}
	last, err := q.LastCreated(ctx, project.ID)
	if err != nil {
		return err
	}
	d.CreatedAt = max(d.CreatedAt, last+1) // lists are sorted by it, also after the clock was set back
	d.Project, d.Name, d.Host = project.ID, project.Name, c.ownHost(project, team)
	if d.Env, err = c.freeze(ctx, q, project, team, d, r.Env); err != nil {
		return err
	}
	if err := q.CreateDeployment(ctx, d); err != nil {
		return err
	}
	ch.deployment(lateen.DeploymentCreated, d)
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

// repeat copies the settings of a repeated deployment into the request, and returns
// the listing to deploy.
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

// defaultTarget returns the target of a deployment that names none: production if
// the project has neither a production deployment nor one for production that has
// not failed; else preview. A repetition of the deployment from is a preview.
func defaultTarget(ctx context.Context, q *store.Queries, project *lateen.Project, from lateen.DeploymentID) (lateen.Environment, error) {
	if from != "" || project.Production != "" {
		return lateen.Preview, nil
	}
	earlier, err := q.ListDeployments(ctx, store.DeploymentFilter{
		Project: project.ID, Target: lateen.Production, Limit: 1,
		States: []lateen.ReadyState{lateen.Queued, lateen.Initializing, lateen.Building, lateen.Deploying, lateen.Ready},
	})
	if err != nil || len(earlier) > 0 {
		return lateen.Preview, err
	}
	return lateen.Production, nil
}

// Deployment returns a deployment of the caller's team by its id, its own host or an
// alias. It ignores case, a port and a trailing dot.
func (c *Control) Deployment(ctx context.Context, idOrHost string) (*lateen.Deployment, error) {
	p, err := authorize(ctx, lateen.DeploymentRead)
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

// Deployments lists deployments of the caller's team, newest first. It overrides the
// team of the filter.
func (c *Control) Deployments(ctx context.Context, filter store.DeploymentFilter) ([]*lateen.Deployment, error) {
	p, err := authorize(ctx, lateen.DeploymentRead)
	if err != nil {
		return nil, err
	}
	if filter.Team = p.Team; !narrow(p, &filter.Project) {
		return nil, nil
	}
	return c.Store.ListDeployments(ctx, filter)
}

var errCanceled = errors.New("canceled by a user")

// Cancel cancels a deployment that is not ready yet, and stops its assembly.
func (c *Control) Cancel(ctx context.Context, idOrHost string) (*lateen.Deployment, error) {
	p, err := authorize(ctx, lateen.DeploymentWrite)
	if err != nil {
		return nil, err
	}
	var d *lateen.Deployment
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		if d, err = find(ctx, q, p, idOrHost); err != nil {
			return err
		}
		if d.State.Final() {
			return lateen.ErrDeploymentFinal.With("the deployment is already %s", d.State)
		}
		d.State = lateen.Canceled
		ch.deployment(lateen.DeploymentCanceled, d)
		ch.unbind(d.Team, d.Project, d.Host)
		return errors.Join(
			q.UpdateDeployment(ctx, d),
			q.AppendBuildLog(ctx, d.ID, c.stateLine(d.State)),
			c.failRequest(ctx, q, d),
			c.record(ctx, q, p, lateen.ActionDeploymentCancel, d.Project, d.Host))
	})
	if err != nil {
		return nil, err
	}
	c.endSpan(d.ID, d.CreatedAt, errCanceled)
	return d, nil
}

// DeleteDeployment removes a deployment and the aliases that lead to it. With safe
// it refuses to remove a deployment that has aliases.
func (c *Control) DeleteDeployment(ctx context.Context, idOrHost string, safe bool) (*lateen.Deployment, error) {
	p, err := authorize(ctx, lateen.DeploymentDelete)
	if err != nil {
		return nil, err
	}
	var d *lateen.Deployment
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		if d, err = find(ctx, q, p, idOrHost); err != nil {
			return err
		}
		aliases, err := q.ListAliases(ctx, store.AliasFilter{Deployment: d.ID})
		if err != nil {
			return err
		}
		if safe && len(aliases) > 0 {
			return lateen.ErrDeploymentAliased.With("%s leads to the deployment", aliases[0].Host).
				WithHint("point it at another deployment first, or delete without --safe")
		}
		lost := []string{d.Host}
		for _, a := range aliases {
			lost = append(lost, a.Host)
		}
		ch.unbind(d.Team, d.Project, lost...)
		ch.deployment(lateen.DeploymentRemoved, d)
		if err := errors.Join(
			c.dropReferences(ctx, q, d), q.NoteDeployment(ctx, d.ID, c.now()),
			c.record(ctx, q, p, lateen.ActionDeploymentDelete, d.Project, d.Host),
		); err != nil {
			return err
		}
		if err := q.DeleteDeployment(ctx, d.ID); err != nil {
			return err
		}
		return c.dropBelow(ctx, q, p, d.Project, lost, ch)
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Manifest returns a deployment of the caller's team and its manifest, which is nil
// until the deployment is assembled.
func (c *Control) Manifest(ctx context.Context, idOrHost string) (*lateen.Deployment, *lateen.Manifest, error) {
	d, err := c.Deployment(ctx, idOrHost)
	if err != nil || d.Manifest == "" {
		return d, nil, err
	}
	manifest, err := c.manifest(ctx, d)
	return d, manifest, err
}

// Owner returns the team and the project of a deployment. It requires no principal,
// like [Control.Site].
func (c *Control) Owner(ctx context.Context, id lateen.DeploymentID) (lateen.TeamID, lateen.ProjectID, error) {
	d, err := c.Store.GetDeployment(ctx, id)
	if err != nil {
		return "", "", err
	}
	return d.Team, d.Project, nil
}

// Site returns the data that the edge needs to serve a deployment. It requires no
// principal, as the edge serves anonymous clients.
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

// builtAt returns the creation time of a deployment by the host's clock at that
// time.
func builtAt(d *lateen.Deployment) lateen.Millis {
	if d.BuildingAt == 0 {
		return d.CreatedAt
	}
	return min(d.CreatedAt, d.BuildingAt)
}

// Production returns the production deployment of a project, "" if there is none.
func (c *Control) Production(ctx context.Context, project lateen.ProjectID) (lateen.DeploymentID, error) {
	if _, err := authorize(ctx, lateen.DeploymentRead); err != nil {
		return "", err
	}
	p, err := c.Store.FindProject(ctx, project)
	if errors.Is(err, lateen.ErrProjectNotFound) { // deleted since then
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find the production of %s: %w", project, err)
	}
	return p.Production, nil
}

// Productions returns the production deployments of all projects. The platform reads
// it at startup.
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

// Hosts returns the bindings of all hosts. The platform reads it at startup.
func (c *Control) Hosts(ctx context.Context) (map[string]lateen.Binding, error) {
	hosts, err := c.Store.ListHosts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	out := make(map[string]lateen.Binding, len(hosts))
	for _, h := range hosts {
		out[h.Name] = lateen.Binding{Deployment: h.Deployment, Redirect: h.Redirect}
	}
	return out, nil
}
