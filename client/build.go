package client

import (
	"context"
	"net/http"
)

// Build describes the build of a deployment.
type Build struct {
	Outputs    []Output `json:"output"`     // outputs by path, functions first
	Functions  int      `json:"functions"`  // number of functions; several outputs may be paths of one
	Routes     int      `json:"routes"`     // number of routes in the route table
	Prerenders int      `json:"prerenders"` // number of paths whose responses are cached
}

// Build returns the build of a deployment; it is empty until the platform has read it.
func (c *Client) Build(ctx context.Context, idOrHost string) (*Build, error) {
	var reply struct {
		Builds []Build `json:"builds"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v11/deployments" + path(idOrHost, "builds"), out: &reply})
	if err != nil || len(reply.Builds) == 0 {
		return &Build{}, err
	}
	return &reply.Builds[0], nil
}
