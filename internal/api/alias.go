package api

import (
	"net/http"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/store"
)

// alias is an alias with the deployment it leads to.
type alias struct {
	lateen.Alias

	Deployment aliasDeployment `json:"deployment"`
	Creator    creator         `json:"creator"`
	Created    lateen.Millis   `json:"created"`
	SiteURL    string          `json:"siteUrl"`
}

type aliasDeployment struct {
	ID  lateen.DeploymentID `json:"id"`
	URL string              `json:"url"`
}

type aliasesReply struct {
	Aliases    []alias    `json:"aliases"`
	Pagination pagination `json:"pagination"`
}

func (a *API) aliasOf(r *http.Request, t *control.AliasTarget) alias {
	return alias{
		Alias: t.Alias, Created: t.CreatedAt, SiteURL: a.Control.SiteURL(t.Host),
		Deployment: aliasDeployment{ID: t.Deployment, URL: t.Target},
		Creator:    a.creatorOf(r, t.Creator),
	}
}

func (a *API) aliasesOf(r *http.Request, filter store.AliasFilter) (*aliasesReply, error) {
	rows, err := a.Control.Aliases(r.Context(), filter)
	if err != nil {
		return nil, err
	}
	reply := &aliasesReply{Aliases: make([]alias, 0, len(rows))}
	for i := range rows {
		reply.Aliases = append(reply.Aliases, a.aliasOf(r, &rows[i]))
	}
	if n := len(rows); n > 0 && filter.Limit > 0 {
		reply.Pagination = pageOf(n, filter.Limit, rows[0].CreatedAt, rows[n-1].CreatedAt)
	}
	return reply, nil
}

func listAliases(a *API, r *http.Request, _ *none) (*aliasesReply, error) {
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	until, err := millisOf(r, "until")
	if err != nil {
		return nil, err
	}
	return a.aliasesOf(r, store.AliasFilter{Project: lateen.ProjectID(r.URL.Query().Get("projectId")), Until: until, Limit: limit})
}

func listDeploymentAliases(a *API, r *http.Request, _ *none) (*aliasesReply, error) {
	d, err := a.Control.Deployment(r.Context(), r.PathValue("deployment"))
	if err != nil {
		return nil, err
	}
	return a.aliasesOf(r, store.AliasFilter{Deployment: d.ID})
}

func getAlias(a *API, r *http.Request, _ *none) (*alias, error) {
	t, err := a.Control.Alias(r.Context(), r.PathValue("alias"))
	if err != nil {
		return nil, err
	}
	out := a.aliasOf(r, t)
	return &out, nil
}

type setAliasRequest struct {
	Alias string `json:"alias"`
	// Redirect is a host to which requests for the alias are redirected with status 307.
	Redirect string `json:"redirect,omitempty"`
}

type aliasSet struct {
	UID             lateen.AliasID      `json:"uid"`
	Alias           string              `json:"alias"`
	Created         lateen.Millis       `json:"created"`
	OldDeploymentID lateen.DeploymentID `json:"oldDeploymentId,omitempty"`
	SiteURL         string              `json:"siteUrl"`
}

func setAlias(a *API, r *http.Request, in *setAliasRequest) (*aliasSet, error) {
	row, previous, err := a.Control.SetAlias(r.Context(), r.PathValue("deployment"), in.Alias, in.Redirect)
	if err != nil {
		return nil, err
	}
	return &aliasSet{
		UID: row.ID, Alias: row.Host, Created: row.CreatedAt,
		OldDeploymentID: previous, SiteURL: a.Control.SiteURL(row.Host),
	}, nil
}

type removedReply struct {
	Status string `json:"status"`
}

func removeAlias(a *API, r *http.Request, _ *none) (*removedReply, error) {
	_, err := a.Control.RemoveAlias(r.Context(), r.PathValue("alias"))
	return &removedReply{Status: "SUCCESS"}, err
}

type domainReply struct {
	Domain domain `json:"domain"`
}

// domain reports that a domain may be used for aliases. The owner of a domain is
// decided by its own name servers.
type domain struct {
	Name        string `json:"name"`
	ServiceType string `json:"serviceType"`
	Verified    bool   `json:"verified"`
}

func getDomain(_ *API, r *http.Request, _ *none) (*domainReply, error) {
	return &domainReply{Domain: domain{Name: r.PathValue("domain"), ServiceType: "external", Verified: true}}, nil
}
