package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// Generated hosts are one label under the platform's domain:
//
//	<project>                      production
//	<project>-<team>               production
//	<project>-git-<branch>-<team>  the latest deployment of a branch
//	<project>-<hash>-<team>        one deployment, permanent
//
// Only the team itself may generate a label that ends in its slug:
// [Control.reserved].

const (
	maxLabel = 63 // octets of a DNS label, RFC 1035 §2.3.4
	hashLen  = 9  // characters in a deployment's own host
)

// join makes a label of parts that are labels themselves. It cuts the first part as
// far as needed, never the others: they make the label unique.
func join(first string, rest ...string) string {
	tail := "-" + strings.Join(rest, "-")
	return cut(first, maxLabel-len(tail)) + tail
}

// cut returns at most the first n bytes of a label, without a trailing '-'.
func cut(label string, n int) string {
	return strings.TrimRight(label[:max(0, min(len(label), n))], "-")
}

// digestOf returns a digest of text as n characters of a label, for a host whose
// plain label was cut or is taken.
func digestOf(text string, n int) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	sum := sha256.Sum256([]byte(text))
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[sum[i]&31]
	}
	return string(out)
}

func (c *Control) host(label string) string { return label + "." + c.Domain }

// ownHost returns a new host for one deployment.
func (c *Control) ownHost(project *lateen.Project, team *lateen.Team) string {
	return c.host(join(lateen.Label(project.Name), lateen.NewHash(hashLen), team.Slug))
}

// productionHosts returns the hosts of production, the main one first, and those of
// an earlier time at which the main ones were not free.
func (c *Control) productionHosts(ctx context.Context, q *store.Queries, project *lateen.Project, team *lateen.Team) ([]string, error) {
	name, id := lateen.Label(project.Name), string(project.ID)
	var main, earlier []string
	for _, labels := range [][]string{
		{name, join(name, digestOf(id, 4)), join(name, digestOf(id, 12))},
		{join(name, team.Slug), join(name, digestOf(id, 4), team.Slug)},
	} {
		host, err := c.firstFree(ctx, q, project, labels...)
		if err != nil {
			return nil, err
		}
		main = append(main, host)
		for _, label := range labels[1:] {
			alias, err := q.GetAlias(ctx, c.host(label))
			switch {
			case err == nil && alias.Project == project.ID && alias.Automatic && alias.Host != host:
				earlier = append(earlier, alias.Host)
			case err != nil && !errors.Is(err, lateen.ErrAliasNotFound):
				return nil, err
			}
		}
	}
	return append(main, earlier...), nil
}

// branchHost returns the host of the latest deployment of a Git branch.
func (c *Control) branchHost(ctx context.Context, q *store.Queries, project *lateen.Project, team *lateen.Team, branch string) (string, error) {
	name, slug := lateen.Label(project.Name), lateen.Label(branch)
	plain := name + "-git-" + slug
	exact := join(plain, digestOf(branch, 6), team.Slug)
	if slug != branch || len(plain)+1+len(team.Slug) > maxLabel {
		return c.firstFree(ctx, q, project, exact) // another branch may give the same label or the same cut label
	}
	return c.firstFree(ctx, q, project, join(plain, team.Slug), exact)
}

// firstFree returns the host of the first label that is free for the project, or of
// the last label if none is.
func (c *Control) firstFree(ctx context.Context, q *store.Queries, project *lateen.Project, labels ...string) (string, error) {
	for _, label := range labels {
		free, err := c.free(ctx, q, project, label)
		if err != nil {
			return "", err
		}
		if free {
			return c.host(label), nil
		}
	}
	return c.host(labels[len(labels)-1]), nil
}

// free reports whether the platform may give a label to a project: the project has
// it, or no other project has it and it is not reserved.
func (c *Control) free(ctx context.Context, q *store.Queries, project *lateen.Project, label string) (bool, error) {
	alias, err := q.GetAlias(ctx, c.host(label))
	switch {
	case err == nil:
		return alias.Project == project.ID, nil
	case !errors.Is(err, lateen.ErrAliasNotFound):
		return false, err
	}
	reserved, err := c.reserved(ctx, q, label)
	switch {
	case err != nil:
		return false, err
	case reserved != nil:
		return reserved.team != "" && reserved.team == project.Team, nil
	}
	return true, nil
}

// reservation is the reservation of a label under the platform's domain for the
// platform or for a team.
type reservation struct {
	team lateen.TeamID // may generate the label; "": no team may
	why  *lateen.Error // [lateen.ErrAliasReserved] for a user that requests the label
}

// reserved returns the reservation of a label, or nil if the label is open to all
// projects. All hosts, those requested by users and those generated from users'
// names, are checked here only. A label that ends in the slugs of several teams is
// reserved for the longest slug.
func (c *Control) reserved(ctx context.Context, q *store.Queries, label string) (*reservation, error) {
	if label == "api" {
		return &reservation{why: lateen.ErrAliasReserved.With("%s belongs to the platform", c.host(label))}, nil
	}
	_, err := q.GetDeploymentByHost(ctx, c.host(label))
	if err == nil {
		return &reservation{why: lateen.ErrAliasReserved.With("%s is the host of a deployment", c.host(label))}, nil
	}
	if !errors.Is(err, lateen.ErrDeploymentNotFound) {
		return nil, err
	}
	for i := range len(label) {
		if label[i] != '-' {
			continue
		}
		team, err := q.GetTeam(ctx, label[i+1:])
		if errors.Is(err, lateen.ErrTeamNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		why := lateen.ErrAliasReserved.With("%s is among the hosts that the platform generates for the team %s", c.host(label), team.Slug).
			WithHint("choose one that does not end in -%s", team.Slug)
		return &reservation{team: team.ID, why: why}, nil
	}
	return nil, nil //nolint:nilnil // no reservation is an answer
}

// checkAlias returns the canonical form of a host that a user requests, with or
// without the platform's domain. It returns an error if the host may not be an
// alias.
func (c *Control) checkAlias(ctx context.Context, q *store.Queries, project lateen.ProjectID, text string) (string, error) {
	host, err := c.parseHost(text)
	if err != nil {
		return "", err
	}
	switch {
	case isAddress(host), host == "localhost", host == c.Domain, strings.HasSuffix(host, ".lateen.internal"):
		return "", lateen.ErrAliasReserved.With("%s belongs to the platform", host)
	}
	label, generated := strings.CutSuffix(host, "."+c.Domain)
	if !generated {
		return host, nil
	}
	if i := strings.LastIndexByte(label, '.'); i >= 0 {
		return host, c.checkBelow(ctx, q, project, host, c.host(label[i+1:]))
	}
	return host, c.checkGenerated(ctx, q, project, label)
}

// isAddress reports whether browsers read a host as an IPv4 address: its last label is
// a number (WHATWG URL, "ends in a number checker"). 127.1 is 127.0.0.1.
func isAddress(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// checkRedirect returns the host to which requests for host are redirected, "" if
// text is.
func (c *Control) checkRedirect(host, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	to, err := c.parseHost(text)
	if err == nil && to == host {
		return "", lateen.ErrAliasInvalid.With("%s redirects to itself", host)
	}
	return to, err
}

// parseHost returns the host that a user wrote as a name, a URL without a path, or a
// label under the platform's domain.
func (c *Control) parseHost(text string) (string, error) {
	host := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://"), "/"))
	host = strings.TrimSuffix(host, ".")
	if !strings.Contains(host, ".") && host != c.Domain {
		host = c.host(host)
	}
	if !lateen.IsHost(host) {
		return "", lateen.ErrAliasInvalid.With("%q is not a host name", text).WithHint("use labels of 1 to 63 letters, digits and '-', separated by '.'")
	}
	return host, nil
}

// checkBelow refuses a subdomain of a host under the platform's domain that the
// project does not have: browsers would send it cookies of that host.
func (c *Control) checkBelow(ctx context.Context, q *store.Queries, project lateen.ProjectID, host, base string) error {
	alias, err := q.GetAlias(ctx, base)
	if err == nil && alias.Project == project {
		return nil
	}
	if err != nil && !errors.Is(err, lateen.ErrAliasNotFound) {
		return err
	}
	d, err := q.GetDeploymentByHost(ctx, base)
	if err == nil && d.Project == project {
		return nil
	}
	if err != nil && !errors.Is(err, lateen.ErrDeploymentNotFound) {
		return err
	}
	return lateen.ErrAliasReserved.With("%s is a subdomain of %s, which does not belong to the project", host, base).
		WithHint("point %s at a deployment of the project first, or choose a domain of your own", base)
}

// checkGenerated refuses a label that the platform generates itself: one that ends
// in the slug of a team, or that is another project's name.
func (c *Control) checkGenerated(ctx context.Context, q *store.Queries, project lateen.ProjectID, label string) error {
	alias, err := q.GetAlias(ctx, c.host(label))
	if err == nil && alias.Project == project {
		return nil
	}
	reserved, err := c.reserved(ctx, q, label)
	if err != nil {
		return err
	}
	if reserved != nil {
		return reserved.why
	}
	// The label of a name can equal label only if the name contains each of label's
	// words.
	words := strings.Split(label, "-")
	longest := slices.MaxFunc(words, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	similar, err := q.ListProjects(ctx, store.ProjectFilter{Search: longest})
	if err != nil {
		return err
	}
	for _, p := range similar {
		if p.ID != project && lateen.Label(p.Name) == label {
			return lateen.ErrAliasReserved.With("%s is the production host of another project", c.host(label)).WithHint("choose another name")
		}
	}
	return nil
}
