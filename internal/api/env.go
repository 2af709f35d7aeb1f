package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
)

// envVar is a variable with a separate list of its custom environments.
type envVar struct {
	ID                   lateen.EnvID         `json:"id"`
	Key                  string               `json:"key"`
	Value                string               `json:"value"`
	Type                 string               `json:"type"`
	Target               []lateen.Environment `json:"target"`
	CustomEnvironmentIDs []lateen.Environment `json:"customEnvironmentIds"`
	GitBranch            string               `json:"gitBranch,omitempty"`
	Comment              string               `json:"comment,omitempty"`
	Decrypted            bool                 `json:"decrypted"`
	CreatedAt            lateen.Millis        `json:"createdAt"`
	UpdatedAt            lateen.Millis        `json:"updatedAt"`
}

func envOf(v *lateen.EnvVar) envVar {
	out := envVar{
		ID: v.ID, Key: v.Key, Value: v.Value, Type: v.Type, Target: []lateen.Environment{}, CustomEnvironmentIDs: []lateen.Environment{},
		GitBranch: v.GitBranch, Comment: v.Comment, Decrypted: v.Type == lateen.EnvPlain || v.Value != "",
		CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
	}
	for _, target := range v.Target {
		switch target {
		case lateen.Production, lateen.Preview, lateen.Development:
			out.Target = append(out.Target, target)
		default:
			out.CustomEnvironmentIDs = append(out.CustomEnvironmentIDs, target)
		}
	}
	return out
}

type envsReply struct {
	Envs []envVar `json:"envs"`
}

func listEnv(a *API, r *http.Request, _ *none) (*envsReply, error) {
	query := r.URL.Query()
	filter := control.EnvFilter{Target: lateen.Environment(query.Get("target")), Branch: query.Get("gitBranch"), Decrypt: flagOf(r, "decrypt")}
	if custom := query.Get("customEnvironmentId"); custom != "" {
		filter.Target = lateen.Environment(custom)
	}
	vars, err := a.Control.EnvVars(r.Context(), r.PathValue("project"), filter)
	if err != nil {
		return nil, err
	}
	reply := &envsReply{Envs: make([]envVar, 0, len(vars))}
	for _, v := range vars {
		reply.Envs = append(reply.Envs, envOf(v))
	}
	return reply, nil
}

// envRequest is a variable to add.
type envRequest struct {
	Key                  string               `json:"key"`
	Value                string               `json:"value"`
	Type                 string               `json:"type"`
	Target               environmentList      `json:"target"`
	CustomEnvironmentIDs []lateen.Environment `json:"customEnvironmentIds"`
	GitBranch            string               `json:"gitBranch"`
	Comment              string               `json:"comment"`
}

func (e *envRequest) apply(v *lateen.EnvVar) {
	v.Key, v.Value, v.Type, v.GitBranch, v.Comment = e.Key, e.Value, e.Type, e.GitBranch, e.Comment
	v.Target = append(append([]lateen.Environment(nil), e.Target...), e.CustomEnvironmentIDs...)
}

// envsCreated has the added variables, one or a list as in the request.
type envsCreated struct {
	Created oneOrMany[envVar] `json:"created"`
	Failed  []string          `json:"failed"`
}

func (envsCreated) status() int { return http.StatusCreated }

func createEnv(a *API, r *http.Request, in *oneOrMany[envRequest]) (*envsCreated, error) {
	if len(in.Items) == 0 {
		return nil, lateen.ErrEnvInvalid.With("the body contains no variable")
	}
	vars := make([]lateen.EnvVar, len(in.Items))
	for i := range in.Items {
		in.Items[i].apply(&vars[i])
		if vars[i].Type == "" {
			vars[i].Type = lateen.EnvEncrypted
		}
	}
	created, err := a.Control.CreateEnvs(r.Context(), r.PathValue("project"), vars, flagOf(r, "upsert"))
	if err != nil {
		return nil, err
	}
	reply := &envsCreated{Created: oneOrMany[envVar]{One: in.One}, Failed: []string{}}
	for _, v := range created {
		reply.Created.Items = append(reply.Created.Items, envOf(v))
	}
	return reply, nil
}

// envChange is a set of changed fields of a variable; absent fields are unchanged.
type envChange struct {
	envRequest

	raw json.RawMessage
}

// UnmarshalJSON validates the fields and keeps the original text.
func (c *envChange) UnmarshalJSON(b []byte) error {
	c.raw = append(c.raw[:0], b...)
	return decodeJSON(b, &c.envRequest)
}

func updateEnv(a *API, r *http.Request, in *envChange) (*envVar, error) {
	id := lateen.EnvID(r.PathValue("env"))
	v, err := a.Control.UpdateEnv(r.Context(), r.PathValue("project"), id, func(v *lateen.EnvVar) error {
		now := envOf(v)
		fields := envRequest{
			Key: now.Key, Value: now.Value, Type: now.Type, Target: now.Target,
			CustomEnvironmentIDs: now.CustomEnvironmentIDs, GitBranch: now.GitBranch, Comment: now.Comment,
		}
		if in.raw != nil {
			if err := decodeJSON(in.raw, &fields); err != nil {
				return err
			}
		}
		fields.apply(v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := envOf(v)
	return &out, nil
}

func deleteEnv(a *API, r *http.Request, _ *none) (*envVar, error) {
	v, err := a.Control.DeleteEnv(r.Context(), r.PathValue("project"), lateen.EnvID(r.PathValue("env")))
	if err != nil {
		return nil, err
	}
	out := envOf(v)
	return &out, nil
}

// envValues has all variables of an environment, for running and for building.
type envValues struct {
	Env      map[string]string `json:"env"`
	BuildEnv map[string]string `json:"buildEnv"`
}

func pullEnv(a *API, r *http.Request, _ *none) (*envValues, error) {
	values, err := a.Control.PullEnv(r.Context(), r.PathValue("project"), lateen.Environment(r.PathValue("target")), r.PathValue("branch"))
	if err != nil {
		return nil, err
	}
	return &envValues{Env: values, BuildEnv: values}, nil
}

// pullDeploymentEnv returns the values of a deployment, or of the development environment
// of a project, which `vercel dev` requests without its name.
func pullDeploymentEnv(a *API, r *http.Request, _ *none) (*envValues, error) {
	id := r.PathValue("deployment")
	pull := func() (map[string]string, error) {
		if strings.HasPrefix(id, "dpl_") {
			return a.Control.DeploymentEnv(r.Context(), lateen.DeploymentID(id))
		}
		return a.Control.PullEnv(r.Context(), id, lateen.Development, "")
	}
	values, err := pull()
	if err != nil {
		return nil, err
	}
	return &envValues{Env: values, BuildEnv: values}, nil
}
