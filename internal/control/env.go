package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// EnvFilter selects variables of a project; a zero field selects all.
type EnvFilter struct {
	Target lateen.Environment // only variables of this environment
	Branch string             // with Target: only variables of this Git branch or of every branch
	// Decrypt returns the values of encrypted variables to callers with the
	// permission [lateen.EnvSecret]. The audit log records the read.
	Decrypt bool
}

// EnvVars lists the variables of a project, with the values of plain variables.
func (c *Control) EnvVars(ctx context.Context, idOrName string, filter EnvFilter) ([]*lateen.EnvVar, error) {
	p, err := authorize(ctx, lateen.EnvRead)
	if err != nil {
		return nil, err
	}
	project, err := findProject(ctx, c.Store.Queries, p, idOrName)
	if err != nil {
		return nil, err
	}
	sealed, err := c.Store.ListEnv(ctx, project.ID)
	if err != nil {
		return nil, err
	}
	decrypt := filter.Decrypt && p.May(lateen.EnvSecret) == nil
	vars := make([]*lateen.EnvVar, 0, len(sealed))
	var revealed []string
	for _, v := range sealed {
		if filter.Target != "" && (!slices.Contains(v.Target, filter.Target) || filter.Branch != "" && v.GitBranch != "" && v.GitBranch != filter.Branch) {
			continue
		}
		if err := c.reveal(v, decrypt); err != nil {
			return nil, err
		}
		if v.Type == lateen.EnvEncrypted && decrypt {
			revealed = append(revealed, v.Key)
		}
		vars = append(vars, v)
	}
	if len(revealed) > 0 {
		return vars, c.record(ctx, c.Store.Queries, p, lateen.ActionEnvRead, project.ID, strings.Join(revealed, " "))
	}
	return vars, nil
}

// CreateEnv adds a variable to a project. With upsert the variable replaces others
// of the same key and branch in its environments; without upsert, such variables
// lead to [lateen.ErrEnvTaken].
func (c *Control) CreateEnv(ctx context.Context, idOrName string, v lateen.EnvVar, upsert bool) (*lateen.EnvVar, error) {
	created, err := c.CreateEnvs(ctx, idOrName, []lateen.EnvVar{v}, upsert)
	if err != nil {
		return nil, err
	}
	return created[0], nil
}

// CreateEnvs is CreateEnv for several variables: it adds all of them or none.
func (c *Control) CreateEnvs(ctx context.Context, idOrName string, vars []lateen.EnvVar, upsert bool) ([]*lateen.EnvVar, error) {
	p, err := authorize(ctx, lateen.EnvWrite)
	if err != nil {
		return nil, err
	}
	for i := range vars {
		v := &vars[i]
		if err := validateEnv(v); err != nil {
			return nil, err
		}
		v.ID, v.CreatedAt, v.UpdatedAt = lateen.NewID[lateen.EnvID]("env_", c.Now()), c.now(), c.now()
	}
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		project, err := findProject(ctx, q, p, idOrName)
		if err != nil {
			return err
		}
		for i := range vars {
			vars[i].Project = project.ID
			if err := c.createEnv(ctx, q, vars[i], upsert); err != nil {
				return err
			}
			if err := c.record(ctx, q, p, lateen.ActionEnvCreate, project.ID, envTarget(&vars[i])); err != nil {
				return err
			}
		}
		ch.project(lateen.ProjectEnvChanged, project, "")
		return checkEnvLimits(ctx, q, project.ID)
	})
	if err != nil {
		return nil, err
	}
	created := make([]*lateen.EnvVar, 0, len(vars))
	for i := range vars {
		created = append(created, masked(&vars[i]))
	}
	return created, nil
}

func (c *Control) createEnv(ctx context.Context, q *store.Queries, v lateen.EnvVar, upsert bool) error {
	if upsert {
		if err := c.replaceTargets(ctx, q, &v); err != nil {
			return err
		}
	}
	sealed, err := c.seal(v)
	if err != nil {
		return err
	}
	return q.CreateEnv(ctx, sealed)
}

// checkEnvLimits returns an error if the variables of a project exceed the limits.
func checkEnvLimits(ctx context.Context, q *store.Queries, project lateen.ProjectID) error {
	vars, err := q.ListEnv(ctx, project)
	if err != nil {
		return err
	}
	bytes := 0
	for _, v := range vars {
		bytes += len(v.Key) + len(v.Value) + len(v.Comment)
	}
	switch {
	case len(vars) > lateen.MaxProjectEnv:
		return lateen.ErrEnvTooMany.With("the project exceeds the limit of %d environment variables", lateen.MaxProjectEnv)
	case bytes > lateen.MaxProjectEnvBytes:
		return lateen.ErrEnvTooMany.With("the environment variables of the project exceed the limit of %d MiB in total", lateen.MaxProjectEnvBytes>>20)
	}
	return nil
}

// replaceTargets removes the environments of v from other variables of the same key and
// branch, and deletes variables that have no environment left.
func (c *Control) replaceTargets(ctx context.Context, q *store.Queries, v *lateen.EnvVar) error {
	vars, err := q.ListEnv(ctx, v.Project)
	if err != nil {
		return err
	}
	for _, old := range vars {
		if old.Key != v.Key || old.GitBranch != v.GitBranch {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(old.Target), func(t lateen.Environment) bool { return slices.Contains(v.Target, t) })
		switch {
		case len(rest) == len(old.Target):
			continue
		case len(rest) == 0:
			err = q.DeleteEnv(ctx, v.Project, old.ID)
		default:
			old.Target, old.UpdatedAt = rest, c.now()
			err = q.UpdateEnv(ctx, old)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// UpdateEnv calls change with a variable whose Value is decrypted, and stores the
// result. A sensitive variable keeps its name, and its value never becomes readable.
func (c *Control) UpdateEnv(ctx context.Context, idOrName string, id lateen.EnvID, change func(*lateen.EnvVar) error) (*lateen.EnvVar, error) {
	p, err := authorize(ctx, lateen.EnvWrite)
	if err != nil {
		return nil, err
	}
	var v *lateen.EnvVar
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		project, err := findProject(ctx, q, p, idOrName)
		if err != nil {
			return err
		}
		before, err := q.GetEnv(ctx, project.ID, id)
		if err != nil {
			return err
		}
		value, err := c.open(before)
		if err != nil {
			return err
		}
		v = new(*before)
		v.Value = value
		if err := change(v); err != nil {
			return err
		}
		v.ID, v.Project, v.CreatedAt, v.UpdatedAt = before.ID, before.Project, before.CreatedAt, c.now()
		switch {
		case before.Type == lateen.EnvSensitive && v.Key != before.Key:
			return lateen.ErrEnvInvalid.With("%s is sensitive: its name can't be changed", before.Key)
		case before.Type == lateen.EnvSensitive && v.Type != lateen.EnvSensitive && v.Value == value:
			return lateen.ErrEnvInvalid.With("%s is sensitive: its value can't be made readable", before.Key).WithHint("give a new value with the new type")
		}
		if err := validateEnv(v); err != nil {
			return err
		}
		sealed, err := c.seal(*v)
		if err != nil {
			return err
		}
		if err := q.UpdateEnv(ctx, sealed); err != nil {
			return err
		}
		ch.project(lateen.ProjectEnvChanged, project, "")
		if err := errors.Join(
			checkEnvLimits(ctx, q, project.ID),
			c.record(ctx, q, p, lateen.ActionEnvUpdate, project.ID, envTarget(v)),
		); err != nil {
			return err
		}
		if before.Type == lateen.EnvEncrypted && v.Type == lateen.EnvPlain && v.Value == value { // callers that may list variables can read it now
			return c.record(ctx, q, p, lateen.ActionEnvRead, project.ID, v.Key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return masked(v), nil
}

// DeleteEnv removes a variable and returns it without its value.
func (c *Control) DeleteEnv(ctx context.Context, idOrName string, id lateen.EnvID) (*lateen.EnvVar, error) {
	p, err := authorize(ctx, lateen.EnvWrite)
	if err != nil {
		return nil, err
	}
	var v *lateen.EnvVar
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		project, err := findProject(ctx, q, p, idOrName)
		if err != nil {
			return err
		}
		if v, err = q.GetEnv(ctx, project.ID, id); err != nil {
			return err
		}
		if err := q.DeleteEnv(ctx, project.ID, id); err != nil {
			return err
		}
		ch.project(lateen.ProjectEnvChanged, project, "")
		return c.record(ctx, q, p, lateen.ActionEnvDelete, project.ID, envTarget(v))
	})
	if err != nil {
		return nil, err
	}
	v.Value = ""
	return v, nil
}

// PullEnv returns the variables of a project in an environment, and of a branch
// unless it is "". The values of sensitive variables are "".
func (c *Control) PullEnv(ctx context.Context, idOrName string, target lateen.Environment, branch string) (map[string]string, error) {
	p, err := authorize(ctx, lateen.EnvSecret)
	if err != nil {
		return nil, err
	}
	if err := target.Validate(); err != nil {
		return nil, err
	}
	project, err := findProject(ctx, c.Store.Queries, p, idOrName)
	if err != nil {
		return nil, err
	}
	env, err := c.environment(ctx, c.Store.Queries, project.ID, target, branch)
	if err != nil {
		return nil, err
	}
	team, err := c.Store.GetTeam(ctx, string(project.Team))
	if err != nil {
		return nil, err
	}
	system, err := c.systemEnv(ctx, c.Store.Queries, project, team, &lateen.Deployment{Target: target})
	if err != nil {
		return nil, err
	}
	values := env.readable()
	maps.Copy(values, system)
	return values, c.record(ctx, c.Store.Queries, p, lateen.ActionEnvRead, project.ID, "all of "+string(target))
}

// DeploymentEnv returns the variables that a deployment runs with. The values of
// sensitive variables are "".
func (c *Control) DeploymentEnv(ctx context.Context, id lateen.DeploymentID) (map[string]string, error) {
	p, err := authorize(ctx, lateen.EnvSecret)
	if err != nil {
		return nil, err
	}
	d, err := c.Store.FindDeployment(ctx, p.Team, string(id))
	if err != nil {
		return nil, err
	}
	if !p.Reaches(d.Project) {
		return nil, lateen.ErrDeploymentNotFound
	}
	env, err := c.thaw(d)
	if err != nil {
		return nil, err
	}
	return env.readable(), c.record(ctx, c.Store.Queries, p, lateen.ActionEnvRead, d.Project, "all of "+d.Host)
}

// frozenEnv is the run-time environment of one deployment.
type frozenEnv struct {
	Values    map[string]string `json:"values"`
	Sensitive []string          `json:"sensitive,omitempty"` // names of the variables with unreadable values
}

func (e *frozenEnv) readable() map[string]string {
	values := maps.Clone(e.Values)
	for _, key := range e.Sensitive {
		values[key] = ""
	}
	return values
}

func (e *frozenEnv) size() int {
	n := 0
	for k, v := range e.Values {
		n += len(k) + len(v)
	}
	return n
}

// environment collects the variables of a project for an environment. A variable of
// a branch overrides one of every branch.
func (c *Control) environment(ctx context.Context, q *store.Queries, project lateen.ProjectID, target lateen.Environment, branch string) (*frozenEnv, error) {
	vars, err := q.ListEnv(ctx, project)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(vars, func(a, b *lateen.EnvVar) int { return len(a.GitBranch) - len(b.GitBranch) })
	env := &frozenEnv{Values: make(map[string]string)}
	for _, v := range vars {
		if !slices.Contains(v.Target, target) || v.GitBranch != "" && v.GitBranch != branch {
			continue
		}
		if env.Values[v.Key], err = c.open(v); err != nil {
			return nil, err
		}
		env.Sensitive = slices.DeleteFunc(env.Sensitive, func(key string) bool { return key == v.Key })
		if v.Type == lateen.EnvSensitive {
			env.Sensitive = append(env.Sensitive, v.Key)
		}
	}
	return env, nil
}

// freeze seals the environment of deployment d: the project's variables, overridden
// by extra, overridden by the system variables of d.
func (c *Control) freeze(ctx context.Context, q *store.Queries, project *lateen.Project, team *lateen.Team, d *lateen.Deployment, extra map[string]string) ([]byte, error) {
	env, err := c.environment(ctx, q, project.ID, d.Target, branchOf(d))
	if err != nil {
		return nil, err
	}
	for key, value := range extra {
		if err := validateEnv(&lateen.EnvVar{Key: key, Value: value, Type: lateen.EnvEncrypted, Target: []lateen.Environment{d.Target}}); err != nil {
			return nil, err
		}
		env.Values[key] = value
	}
	if env.size() > lateen.MaxEnvBytes {
		return nil, lateen.ErrEnvTooLarge
	}
	system, err := c.systemEnv(ctx, q, project, team, d)
	if err != nil {
		return nil, err
	}
	maps.Copy(env.Values, system)
	plain, err := json.Marshal(env)
	if err != nil {
		return nil, err
	}
	return c.Keeper.Seal(plain, []byte(d.ID))
}

// thaw decrypts the environment that [Control.freeze] sealed.
func (c *Control) thaw(d *lateen.Deployment) (*frozenEnv, error) {
	plain, err := c.Keeper.Open(d.Env, []byte(d.ID))
	if err != nil {
		return nil, fmt.Errorf("open the environment of %s: %w", d.ID, err)
	}
	env := new(frozenEnv)
	return env, json.Unmarshal(plain, env)
}

// systemEnv returns the system variables of a deployment. A deployment that is not
// created yet has no id and no host.
func (c *Control) systemEnv(ctx context.Context, q *store.Queries, project *lateen.Project, team *lateen.Team, d *lateen.Deployment) (map[string]string, error) {
	production, err := c.productionHosts(ctx, q, project, team)
	if err != nil {
		return nil, err
	}
	env := map[string]string{
		"VERCEL":                        "1",
		"VERCEL_ENV":                    string(vercelEnv(d.Target)),
		"VERCEL_TARGET_ENV":             string(d.Target),
		"VERCEL_REGION":                 c.Region,
		"VERCEL_PROJECT_ID":             string(project.ID),
		"VERCEL_PROJECT_PRODUCTION_URL": production[0],
	}
	if d.ID != "" {
		env["VERCEL_DEPLOYMENT_ID"] = string(d.ID)
		env["VERCEL_URL"] = d.Host
	}
	if d.Git == nil {
		return env, nil
	}
	if d.Git.CommitRef != "" {
		if env["VERCEL_BRANCH_URL"], err = c.branchHost(ctx, q, project, team, d.Git.CommitRef); err != nil {
			return nil, err
		}
	}
	maps.Copy(env, gitEnv(d))
	return env, nil
}

// vercelEnv returns VERCEL_ENV for an environment; custom environments are previews.
func vercelEnv(target lateen.Environment) lateen.Environment {
	if target.Custom() {
		return lateen.Preview
	}
	return target
}

var remotePattern = regexp.MustCompile(`(github|gitlab|bitbucket)\.[a-z]+[:/]([^/]+(?:/[^/]+)*)/([^/]+?)(?:\.git)?/?$`)

// gitEnv returns the variables of the Git commit of d.
func gitEnv(d *lateen.Deployment) map[string]string {
	const maxMessage = 2048
	env := map[string]string{
		"VERCEL_GIT_COMMIT_REF":         d.Git.CommitRef,
		"VERCEL_GIT_COMMIT_SHA":         d.Git.CommitSHA,
		"VERCEL_GIT_COMMIT_MESSAGE":     cutText(d.Git.CommitMessage, maxMessage),
		"VERCEL_GIT_COMMIT_AUTHOR_NAME": d.Git.CommitAuthorName,
		"VERCEL_GIT_PULL_REQUEST_ID":    "",
	}
	if login := d.Meta["githubCommitAuthorLogin"]; login != "" {
		env["VERCEL_GIT_COMMIT_AUTHOR_LOGIN"] = login
	}
	if m := remotePattern.FindStringSubmatch(d.Git.RemoteURL); m != nil {
		env["VERCEL_GIT_PROVIDER"], env["VERCEL_GIT_REPO_OWNER"], env["VERCEL_GIT_REPO_SLUG"] = m[1], m[2], m[3]
	}
	return env
}

// cutText returns at most the first n bytes of text, and cuts between two
// characters.
func cutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

func branchOf(d *lateen.Deployment) string {
	if d.Git == nil {
		return ""
	}
	return d.Git.CommitRef
}

func (c *Control) seal(v lateen.EnvVar) (*lateen.EnvVar, error) {
	sealed, err := c.Keeper.Seal([]byte(v.Value), envContext(&v))
	v.Value = string(sealed)
	return &v, err
}

func (c *Control) open(v *lateen.EnvVar) (string, error) {
	plain, err := c.Keeper.Open([]byte(v.Value), envContext(v))
	if err != nil {
		return "", fmt.Errorf("open the value of %s: %w", v.Key, err)
	}
	return string(plain), nil
}

func envContext(v *lateen.EnvVar) []byte { return []byte(string(v.Project) + "/" + string(v.ID)) }

// reveal decrypts a sealed value if the type of the variable permits it; an
// encrypted variable also needs decrypt.
func (c *Control) reveal(v *lateen.EnvVar, decrypt bool) error {
	if v.Type == lateen.EnvSensitive || v.Type == lateen.EnvEncrypted && !decrypt {
		v.Value = ""
		return nil
	}
	value, err := c.open(v)
	v.Value = value
	return err
}

// masked returns a variable without its value unless it is plain, for the response
// to a change.
func masked(v *lateen.EnvVar) *lateen.EnvVar {
	if v.Type != lateen.EnvPlain {
		v.Value = ""
	}
	return v
}

// envTarget names a variable in the audit log.
func envTarget(v *lateen.EnvVar) string { return v.Key + " (" + v.Environments() + ")" }

func validateEnv(v *lateen.EnvVar) error {
	if err := v.Validate(); err != nil {
		return err
	}
	slices.Sort(v.Target)
	v.Target = slices.Compact(v.Target)
	var errs []error
	for _, target := range v.Target {
		errs = append(errs, target.Validate())
	}
	return errors.Join(errs...)
}

// customOf returns the custom environments among names, sorted and without
// duplicates.
func customOf(names []lateen.Environment) []lateen.Environment {
	names = slices.DeleteFunc(slices.Clone(names), func(e lateen.Environment) bool { return !e.Custom() })
	slices.Sort(names)
	return slices.Compact(names)
}
