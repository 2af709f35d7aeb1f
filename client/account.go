package client

import (
	"context"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// User is who a token belongs to.
type User struct {
	lateen.User

	DefaultTeam lateen.TeamID `json:"defaultTeamId"`
}

// WhoAmI returns the user of the token.
func (c *Client) WhoAmI(ctx context.Context) (*User, error) {
	var reply struct {
		User User `json:"user"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v2/user", out: &reply})
	return &reply.User, err
}

// Team is a team with the role of the token's user in it.
type Team struct {
	lateen.Team

	Membership struct {
		Role lateen.Role `json:"role"`
	} `json:"membership"`
}

// Teams returns the teams of the token's user.
func (c *Client) Teams(ctx context.Context) ([]Team, error) {
	var reply struct {
		Teams []Team `json:"teams"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v2/teams", out: &reply})
	return reply.Teams, err
}

// CreateToken issues a token that acts as the user of this one and returns its
// secret, which can't be had again.
func (c *Client) CreateToken(ctx context.Context, name string) (string, error) {
	var reply struct {
		Secret string `json:"bearerToken"`
	}
	in := map[string]string{"name": name}
	err := c.do(ctx, call{method: http.MethodPost, path: "/v3/user/tokens", in: in, out: &reply, once: true})
	return reply.Secret, err
}

// RevokeToken ends a token by id; "current" is the client's own.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v3/user/tokens" + path(id)})
}
