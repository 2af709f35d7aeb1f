package client

import (
	"context"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// Function is a function of a project with what it has and does now: one that
// production serves, or one of another deployment that is running.
type Function struct {
	lateen.FunctionState

	Production  bool     `json:"production"`            // it is the one that production serves
	Paths       []string `json:"paths"`                 // that lead to it; empty outside of production
	MemoryLimit int      `json:"memoryLimit,omitempty"` // MiB; 0 is the platform's default
	MaxDuration int      `json:"maxDuration,omitempty"` // seconds; 0 is the platform's default, -1 the longest
}

// Functions returns the functions of a project: production's, idle ones among
// them, by name, then those of other deployments that are running.
func (c *Client) Functions(ctx context.Context, project string) ([]Function, error) {
	var reply struct {
		Functions []Function `json:"functions"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/projects" + path(project, "functions"), out: &reply})
	return reply.Functions, err
}
