package lateen

import "maps"

// Site holds everything that serving a deployment needs, so that requests need no
// database. A Site is immutable; a change creates another one.
type Site struct {
	Team        TeamID
	TeamSlug    string
	Project     ProjectID
	ProjectName string
	Deployment  DeploymentID
	Host        string      // the deployment's own host
	Target      Environment // production, preview or a custom environment
	Branch      string      // Git branch, or ""
	CreatedAt   Millis
	Manifest    *Manifest
	// ShowsStart adds the header x-lateen-start to responses.
	ShowsStart bool
	// Weight is the weight of the project; 0 is 1.
	Weight int
	// Env is the run-time environment without the variables of single functions. It
	// is secret.
	Env map[string]string
}

// Spec returns the specification of the function called name, with which an engine
// runs it; false if the manifest has no function of that name.
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
