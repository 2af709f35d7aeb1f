package lateen

import "maps"

// Site is all that serving a deployment needs: whoever holds one asks no
// database. It is immutable; a change is another Site.
type Site struct {
	Team        TeamID
	TeamSlug    string
	Project     ProjectID
	ProjectName string
	Deployment  DeploymentID
	Host        string // the deployment's own host
	Target      string // production, preview or a custom environment
	Branch      string // Git branch, or ""
	CreatedAt   Millis
	Manifest    *Manifest
	// ShowsStart has responses tell how their function was started.
	ShowsStart bool
	// Weight is that of the project; 0 is 1.
	Weight int
	// Env is the run-time environment without what functions add; secret.
	Env map[string]string
}

// Spec returns what an engine needs to run the function called name; false if
// the manifest has none of that name.
func (s *Site) Spec(name string) (FunctionSpec, bool) {
	fn, ok := s.Manifest.Functions[name]
	if !ok {
		return FunctionSpec{}, false
	}
	env := make(map[string]string, len(s.Env)+len(fn.Environment))
	maps.Copy(env, fn.Environment)
	maps.Copy(env, s.Env)
	return FunctionSpec{
		Key: NewFunctionKey(s.Deployment, name), Team: s.Team, Project: s.Project,
		Deployment: s.Deployment, Name: name, Function: fn, Env: env, Weight: s.Weight,
	}, true
}
