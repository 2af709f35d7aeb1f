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
