package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/lateen-dev/lateen"
)

// envWire is a variable in the format of the API: custom environments are separate.
type envWire struct {
	lateen.EnvVar

	Custom []lateen.Environment `json:"customEnvironmentIds"`
}

func (w *envWire) variable() lateen.EnvVar {
	v := w.EnvVar
	v.Target = append(v.Target, w.Custom...)
	return v
}

// EnvVars returns the variables of a project, limited to one environment unless target
// is "". Only variables of the type plain have values.
func (c *Client) EnvVars(ctx context.Context, project string, target lateen.Environment) ([]lateen.EnvVar, error) {
	return c.envVars(ctx, project, target, url.Values{})
}

// DecryptedEnvVars is EnvVars with the values of encrypted variables too, for
// users with permission to read them. The audit log records the read.
func (c *Client) DecryptedEnvVars(ctx context.Context, project string, target lateen.Environment) ([]lateen.EnvVar, error) {
	return c.envVars(ctx, project, target, url.Values{"decrypt": {"true"}})
}

func (c *Client) envVars(ctx context.Context, project string, target lateen.Environment, query url.Values) ([]lateen.EnvVar, error) {
	var reply struct {
		Envs []envWire `json:"envs"`
	}
	if target != "" {
		query.Set("target", string(target))
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v10/projects" + path(project, "env"), query: query, out: &reply})
	vars := make([]lateen.EnvVar, 0, len(reply.Envs))
	for i := range reply.Envs {
		vars = append(vars, reply.Envs[i].variable())
	}
	return vars, err
}

// AddEnv adds a variable to a project; with replace it replaces the variable of that
// name in its environments.
func (c *Client) AddEnv(ctx context.Context, project string, v lateen.EnvVar, replace bool) (*lateen.EnvVar, error) {
	var reply struct {
		Created envWire `json:"created"`
	}
	query := url.Values{}
	if replace {
		query.Set("upsert", "true")
	}
	err := c.do(ctx, call{method: http.MethodPost, path: "/v10/projects" + path(project, "env"), query: query, in: v, out: &reply, atMostOnce: !replace})
	created := reply.Created.variable()
	return &created, err
}

// EnvChange is a change of a variable; nil fields do not change.
type EnvChange struct {
	Value   *string              `json:"value,omitempty"`
	Target  []lateen.Environment `json:"target,omitempty"`
	Type    *string              `json:"type,omitempty"`
	Comment *string              `json:"comment,omitempty"`
}

// UpdateEnv changes a variable.
func (c *Client) UpdateEnv(ctx context.Context, project string, id lateen.EnvID, change EnvChange) (*lateen.EnvVar, error) {
	in := struct {
		EnvChange

		Custom *[]lateen.Environment `json:"customEnvironmentIds,omitempty"`
	}{EnvChange: change}
	if change.Target != nil {
		in.Custom = &[]lateen.Environment{} // all of them are in Target
	}
	var w envWire
	err := c.do(ctx, call{method: http.MethodPatch, path: "/v10/projects" + path(project, "env", string(id)), in: in, out: &w})
	v := w.variable()
	return &v, err
}

// RemoveEnv removes a variable.
func (c *Client) RemoveEnv(ctx context.Context, project string, id lateen.EnvID) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v10/projects" + path(project, "env", string(id))})
}

// PullEnv returns all values of an environment (and branch, or ""), with "" for
// unreadable ones.
func (c *Client) PullEnv(ctx context.Context, project string, target lateen.Environment, branch string) (map[string]string, error) {
	var reply struct {
		Env map[string]string `json:"env"`
	}
	segments := []string{project, string(target)}
	if branch != "" {
		segments = append(segments, branch)
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v3/env/pull" + path(segments...), out: &reply})
	return reply.Env, err
}
