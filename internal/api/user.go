package api

import (
	"net/http"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
)

// healthReply is the reply of a running platform.
type healthReply struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}

func health(a *API, _ *http.Request, _ *none) (*healthReply, error) {
	return &healthReply{Status: "ok", Version: a.Version}, nil
}

// userReply is the user of a token.
type userReply struct {
	User user `json:"user"`
}

type user struct {
	lateen.User

	Avatar        *string       `json:"avatar"`
	DefaultTeamID lateen.TeamID `json:"defaultTeamId,omitempty"`
	// Version makes the vercel CLI assign everything to a team.
	Version string `json:"version"`
	Limited bool   `json:"limited"`
}

func whoAmI(a *API, r *http.Request, _ *none) (*userReply, error) {
	account, err := a.Control.WhoAmI(r.Context())
	if err != nil {
		return nil, err
	}
	u := user{User: account.User, Version: "northstar"}
	if len(account.Teams) > 0 {
		u.DefaultTeamID = account.Teams[0].ID
	}
	return &userReply{User: u}, nil
}

type tokensReply struct {
	Tokens     []token    `json:"tokens"`
	Pagination pagination `json:"pagination"`
}

type token struct {
	lateen.Token

	Type string `json:"type"`
}

func listTokens(a *API, r *http.Request, _ *none) (*tokensReply, error) {
	rows, err := a.Control.Tokens(r.Context())
	if err != nil {
		return nil, err
	}
	reply := &tokensReply{Tokens: make([]token, 0, len(rows)), Pagination: pagination{Count: len(rows)}}
	for _, row := range rows {
		reply.Tokens = append(reply.Tokens, token{Token: *row, Type: "token"})
	}
	return reply, nil
}

type tokenRequest struct {
	Name      string        `json:"name"`      // unique among the tokens of the user
	Scope     lateen.Scope  `json:"scope"`     // full, read-only, project, deploy or metrics; full if absent, project with a projectId
	ProjectID string        `json:"projectId"` // id or name of the only reachable project
	ExpiresAt lateen.Millis `json:"expiresAt"` // Unix milliseconds; never if absent
}

type tokenReply struct {
	Token       token  `json:"token"`
	BearerToken string `json:"bearerToken"` // shown only once
}

func createToken(a *API, r *http.Request, in *tokenRequest) (*tokenReply, error) {
	secret, row, err := a.Control.CreateToken(r.Context(), control.TokenRequest{
		Name: in.Name, Scope: in.Scope, Project: in.ProjectID, ExpiresAt: in.ExpiresAt,
	})
	if err != nil {
		return nil, err
	}
	return &tokenReply{Token: token{Token: *row, Type: "token"}, BearerToken: secret}, nil
}

type revokeReply struct {
	ID string `json:"tokenId"`
}

func revokeToken(a *API, r *http.Request, _ *none) (*revokeReply, error) {
	id := r.PathValue("token")
	return &revokeReply{ID: id}, a.Control.RevokeToken(r.Context(), lateen.TokenID(id))
}

func revokeCurrent(a *API, r *http.Request, _ *none) (*revokeReply, error) {
	return &revokeReply{ID: "current"}, a.Control.RevokeCurrent(r.Context())
}

type teamsReply struct {
	Teams      []team     `json:"teams"`
	Pagination pagination `json:"pagination"`
}

type team struct {
	lateen.Team

	Created    lateen.Millis `json:"created"`
	CreatorID  lateen.UserID `json:"creatorId"`
	Avatar     *string       `json:"avatar"`
	Limited    bool          `json:"limited"`
	Membership membership    `json:"membership"`
}

type membership struct {
	Role      lateen.Role `json:"role"`
	Confirmed bool        `json:"confirmed"`
}

func teamOf(m *control.Membership) team {
	return team{Team: m.Team, Created: m.CreatedAt, Membership: membership{Role: m.Role, Confirmed: true}}
}

func listTeams(a *API, r *http.Request, _ *none) (*teamsReply, error) {
	account, err := a.Control.WhoAmI(r.Context())
	if err != nil {
		return nil, err
	}
	reply := &teamsReply{Teams: make([]team, 0, len(account.Teams)), Pagination: pagination{Count: len(account.Teams)}}
	for i := range account.Teams {
		reply.Teams = append(reply.Teams, teamOf(&account.Teams[i]))
	}
	return reply, nil
}

func getTeam(a *API, r *http.Request, _ *none) (*team, error) {
	m, err := a.Control.Team(r.Context(), r.PathValue("team"))
	if err != nil {
		return nil, err
	}
	t := teamOf(m)
	return &t, nil
}
