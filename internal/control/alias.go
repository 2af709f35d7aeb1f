package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// AliasTarget is an alias with the deployment's own host.
type AliasTarget struct {
	lateen.Alias

	Target string
}

// SetAlias points a host at a READY deployment and, unless redirect is "", redirects
// its requests to the host redirect. A host without a dot is a label under the
// platform's domain. previous is the deployment that the host led to before.
func (c *Control) SetAlias(ctx context.Context, idOrHost, host, redirect string) (alias *lateen.Alias, previous lateen.DeploymentID, err error) {
	p, err := authorize(ctx, lateen.AliasWrite)
	if err != nil {
		return nil, "", err
	}
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		d, err := find(ctx, q, p, idOrHost)
		if err != nil {
			return err
		}
		if d.State != lateen.Ready {
			return lateen.ErrDeploymentNotReady.With("the deployment is %s", d.State)
		}
		name, err := c.checkAlias(ctx, q, d.Project, host)
		if err != nil {
			return err
		}
		to, err := c.checkRedirect(name, redirect)
		if err != nil {
			return err
		}
		old, err := q.GetAlias(ctx, name)
		if err != nil && !errors.Is(err, lateen.ErrAliasNotFound) {
			return err
		}
		alias = c.newAlias(name, d)
		alias.Redirect, alias.Creator, alias.Automatic = to, p.User, err == nil && old.Automatic
		ch.alias(alias)
		if previous, err = q.PutAlias(ctx, alias); err != nil {
			return err
		}
		return c.record(ctx, q, p, lateen.ActionAliasSet, d.Project, alias.Host)
	})
	if err != nil {
		return nil, "", err
	}
	return alias, previous, nil
}

func (c *Control) newAlias(host string, d *lateen.Deployment) *lateen.Alias {
	return &lateen.Alias{
		ID: lateen.NewID[lateen.AliasID]("als_", c.Now()), Host: host, Project: d.Project, Team: d.Team,
		Deployment: d.ID, Creator: d.Creator, CreatedAt: c.now(), UpdatedAt: c.now(),
	}
}

// Alias returns an alias of the caller's team by id or host.
func (c *Control) Alias(ctx context.Context, idOrHost string) (*AliasTarget, error) {
	p, err := authorize(ctx, lateen.AliasRead)
	if err != nil {
		return nil, err
	}
	alias, err := c.findAlias(ctx, c.Store.Queries, p, idOrHost)
	if err != nil {
		return nil, err
	}
	d, err := c.Store.GetDeployment(ctx, alias.Deployment)
	if err != nil {
		return nil, err
	}
	return &AliasTarget{Alias: *alias, Target: d.Host}, nil
}

// findAlias returns an alias that p can reach. As in [Control.SetAlias], a host
// without a dot is a label under the platform's domain.
func (c *Control) findAlias(ctx context.Context, q *store.Queries, p lateen.Principal, idOrHost string) (*lateen.Alias, error) {
	name := idOrHost
	if !strings.Contains(name, ".") && !strings.HasPrefix(name, "als_") {
		name = c.host(name)
	}
	alias, err := q.GetAlias(ctx, name)
	if err == nil && (alias.Team != p.Team || !p.Reaches(alias.Project)) {
		return nil, lateen.ErrAliasNotFound.With("alias %q not found", idOrHost)
	}
	return alias, err
}

// Aliases lists aliases of the caller's team, newest first. It overrides the team of
// the filter.
func (c *Control) Aliases(ctx context.Context, filter store.AliasFilter) ([]AliasTarget, error) {
	p, err := authorize(ctx, lateen.AliasRead)
	if err != nil {
		return nil, err
	}
	if filter.Team = p.Team; !narrow(p, &filter.Project) {
		return nil, nil
	}
	aliases, err := c.Store.ListAliases(ctx, filter)
	if err != nil {
		return nil, err
	}
	hosts := make(map[lateen.DeploymentID]string)
	out := make([]AliasTarget, 0, len(aliases))
	for _, alias := range aliases {
		if _, known := hosts[alias.Deployment]; !known {
			d, err := c.Store.GetDeployment(ctx, alias.Deployment)
			if err != nil {
				return nil, err
			}
			hosts[d.ID] = d.Host
		}
		out = append(out, AliasTarget{Alias: *alias, Target: hosts[alias.Deployment]})
	}
	return out, nil
}

// RemoveAlias removes an alias by id or host, and returns it.
func (c *Control) RemoveAlias(ctx context.Context, idOrHost string) (*lateen.Alias, error) {
	p, err := authorize(ctx, lateen.AliasWrite)
	if err != nil {
		return nil, err
	}
	var alias *lateen.Alias
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		if alias, err = c.findAlias(ctx, q, p, idOrHost); err != nil {
			return err
		}
		if err := c.removeAlias(ctx, q, p, alias, ch); err != nil {
			return err
		}
		return c.dropBelow(ctx, q, p, alias.Project, []string{alias.Host}, ch)
	})
	if err != nil {
		return nil, err
	}
	return alias, nil
}

func (c *Control) removeAlias(ctx context.Context, q *store.Queries, p lateen.Principal, alias *lateen.Alias, ch *changes) error {
	ch.unbind(alias.Team, alias.Project, alias.Host)
	return errors.Join(
		c.record(ctx, q, p, lateen.ActionAliasRemove, alias.Project, alias.Host),
		q.DeleteAlias(ctx, alias.ID))
}

// dropBelow removes the aliases under those of some hosts, labels of the platform's
// domain, that a project no longer has: the platform may give the hosts to another
// project.
func (c *Control) dropBelow(ctx context.Context, q *store.Queries, p lateen.Principal, project lateen.ProjectID, hosts []string, ch *changes) error {
	lost := slices.DeleteFunc(slices.Clone(hosts), func(host string) bool {
		label, generated := strings.CutSuffix(host, "."+c.Domain)
		return !generated || strings.Contains(label, ".")
	})
	if len(lost) == 0 {
		return nil
	}
	aliases, err := q.ListAliases(ctx, store.AliasFilter{Project: project})
	if err != nil {
		return err
	}
	has := make(map[string]bool, len(aliases))
	for _, alias := range aliases {
		has[alias.Host] = true
	}
	for _, alias := range aliases {
		below := func(host string) bool { return !has[host] && strings.HasSuffix(alias.Host, "."+host) }
		if !slices.ContainsFunc(lost, below) {
			continue
		}
		if err := c.removeAlias(ctx, q, p, alias, ch); err != nil {
			return err
		}
	}
	return nil
}

// AliasHosts returns the hosts that lead to a deployment besides its own host: first
// the hosts of production and branches, then those that users set. Each group is
// sorted by length, the shortest host first.
func (c *Control) AliasHosts(ctx context.Context, id lateen.DeploymentID) ([]string, error) {
	aliases, err := c.Store.ListAliases(ctx, store.AliasFilter{Deployment: id})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(aliases, func(a, b *lateen.Alias) int {
		if a.Automatic != b.Automatic {
			if a.Automatic {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(len(a.Host), len(b.Host)), strings.Compare(a.Host, b.Host))
	})
	hosts := make([]string, 0, len(aliases))
	for _, alias := range aliases {
		hosts = append(hosts, alias.Host)
	}
	return hosts, nil
}

// assignHosts points the hosts of production and of the branch at a deployment that
// became READY, unless a later deployment has them.
func (c *Control) assignHosts(ctx context.Context, q *store.Queries, d *lateen.Deployment, ch *changes) error {
	project, err := q.FindProject(ctx, d.Project)
	if err != nil {
		return err
	}
	team, err := q.GetTeam(ctx, string(d.Team))
	if err != nil {
		return err
	}
	takes, err := takesProduction(ctx, q, project, d)
	if err != nil {
		return err
	}
	if takes {
		if err := c.takeProduction(ctx, q, project, team, d, ch); err != nil {
			return err
		}
	}
	project.UpdatedAt = c.now()
	if err := q.UpdateProject(ctx, project); err != nil {
		return err
	}
	if branchOf(d) == "" {
		return nil
	}
	host, err := c.branchHost(ctx, q, project, team, branchOf(d))
	if err != nil {
		return err
	}
	later, err := leadsToLater(ctx, q, host, d)
	if err != nil || later {
		return err
	}
	return c.pointAutomatic(ctx, q, host, d, ch)
}

// takesProduction reports whether the hosts of production move to a deployment that
// became READY.
func takesProduction(ctx context.Context, q *store.Queries, project *lateen.Project, d *lateen.Deployment) (bool, error) {
	if d.Target != lateen.Production || d.SkipAliases {
		return false, nil
	}
	if d.Meta["action"] == promoteAction && project.LastAliasRequest != nil {
		return project.LastAliasRequest.To == d.ID, nil // the latest request wins
	}
	if project.Production == "" {
		return true, nil
	}
	if project.PinnedByRollback {
		return false, nil
	}
	current, err := q.GetDeployment(ctx, project.Production)
	return err == nil && !laterThan(current, d), err
}

// takeProduction points the hosts of production at d. A rollback pins production to
// its deployment; production at any other deployment ends the pin. The caller writes
// project and d.
func (c *Control) takeProduction(ctx context.Context, q *store.Queries, project *lateen.Project, team *lateen.Team, d *lateen.Deployment, ch *changes) error {
	hosts, err := c.productionHosts(ctx, q, project, team)
	if err != nil {
		return err
	}
	for _, host := range hosts {
		if err := c.pointAutomatic(ctx, q, host, d, ch); err != nil {
			return err
		}
	}
	if project.Production != d.ID {
		project.PinnedByRollback = false
	}
	project.Production = d.ID
	ch.project(lateen.DeploymentPromoted, project, d.ID)
	d.ServedAt = c.now()
	if request := project.LastAliasRequest; request != nil && request.To == d.ID {
		request.JobStatus = "succeeded"
	}
	return nil
}

// pointAutomatic points a host of production or of a branch at d. A redirect of the
// host stays.
func (c *Control) pointAutomatic(ctx context.Context, q *store.Queries, host string, d *lateen.Deployment, ch *changes) error {
	alias := c.newAlias(host, d)
	alias.Automatic = true
	switch old, err := q.GetAlias(ctx, host); {
	case err == nil && old.Project == d.Project:
		alias.Redirect = old.Redirect
	case err != nil && !errors.Is(err, lateen.ErrAliasNotFound):
		return err
	}
	_, err := q.PutAlias(ctx, alias)
	ch.alias(alias)
	return err
}

// leadsToLater reports whether a host leads to a deployment created after d.
func leadsToLater(ctx context.Context, q *store.Queries, host string, d *lateen.Deployment) (bool, error) {
	alias, err := q.GetAlias(ctx, host)
	if errors.Is(err, lateen.ErrAliasNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	current, err := q.GetDeployment(ctx, alias.Deployment)
	return err == nil && laterThan(current, d), err
}

// laterThan reports whether a, of the same project as b, was accepted after b.
func laterThan(a, b *lateen.Deployment) bool { return a.Serial > b.Serial }

// renameHosts moves production from the hosts of a project's old name to the hosts
// of its new name.
func (c *Control) renameHosts(ctx context.Context, q *store.Queries, p lateen.Principal, before, after *lateen.Project, ch *changes) error {
	if after.Production == "" {
		return nil
	}
	team, err := q.GetTeam(ctx, string(after.Team))
	if err != nil {
		return err
	}
	production, err := q.GetDeployment(ctx, after.Production)
	if err != nil {
		return err
	}
	old, err := c.productionHosts(ctx, q, before, team)
	if err != nil {
		return err
	}
	for _, host := range old {
		alias, err := q.GetAlias(ctx, host)
		if errors.Is(err, lateen.ErrAliasNotFound) || err == nil && alias.Project != before.ID {
			continue
		}
		if err != nil {
			return err
		}
		if err := q.DeleteAlias(ctx, alias.ID); err != nil {
			return err
		}
		ch.unbind(alias.Team, alias.Project, host)
	}
	if err := c.takeProduction(ctx, q, after, team, production, ch); err != nil {
		return err
	}
	return c.dropBelow(ctx, q, p, after.ID, old, ch)
}
