package client

import (
	"context"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// Tokens returns the tokens of the token's user, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]lateen.Token, error) {
	var reply struct {
		Tokens []lateen.Token `json:"tokens"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v3/user/tokens", out: &reply})
	return reply.Tokens, err
}

// TokenRequest describes a token to create.
type TokenRequest struct {
	Name      string        `json:"name"`
	Scope     lateen.Scope  `json:"scope,omitempty"`     // "" is full; project if Project is set
	Project   string        `json:"projectId,omitempty"` // id or name of the project to which the token is limited; "": none
	ExpiresAt lateen.Millis `json:"expiresAt,omitempty"` // 0: never
}

// CreateToken creates a token of the client's user and returns it with its secret, which
// cannot be read again.
func (c *Client) CreateToken(ctx context.Context, r TokenRequest) (secret string, t *lateen.Token, err error) {
	var reply struct {
		Token  lateen.Token `json:"token"`
		Secret string       `json:"bearerToken"`
	}
	err = c.do(ctx, call{method: http.MethodPost, path: "/v3/user/tokens", in: r, out: &reply, atMostOnce: true})
	return reply.Secret, &reply.Token, err
}

// RevokeToken revokes a token by id; the id "current" is that of the client's token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v3/user/tokens" + path(id)})
}
