package client

import (
	"context"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// Function is a function of a project with its current state: a function of production,
// or a function of another deployment that has instances.
type Function struct {
	lateen.FunctionState

	Production  bool     `json:"production"`            // it is the one that production serves
	Paths       []string `json:"paths"`                 // that lead to it; empty outside of production
	MemoryLimit int      `json:"memoryLimit,omitempty"` // MiB; 0 is unknown
	MaxDuration int      `json:"maxDuration,omitempty"` // seconds; 0 is unknown
}

// Functions returns the functions of a project: those of production, idle ones
// included, by name, then those of other deployments that have instances.
func (c *Client) Functions(ctx context.Context, project string) ([]Function, error) {
	var reply struct {
		Functions []Function `json:"functions"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/projects" + path(project, "functions"), out: &reply})
	return reply.Functions, err
}
