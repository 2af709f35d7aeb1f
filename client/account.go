package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// User is a user with its default team.
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

	raw rawJSON
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Team) UnmarshalJSON(b []byte) error {
	type fields Team
	t.raw = rawJSON(bytes.Clone(b))
	return json.Unmarshal(b, (*fields)(t))
}

// MarshalJSON writes the team as the API sent it.
func (t *Team) MarshalJSON() ([]byte, error) { return t.raw.MarshalJSON() }

// Teams returns the teams of the token's user.
func (c *Client) Teams(ctx context.Context) ([]Team, error) {
	var reply struct {
		Teams []Team `json:"teams"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v2/teams", out: &reply})
	return reply.Teams, err
}
