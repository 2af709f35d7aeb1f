package lateen

import (
	"slices"
	"strings"
)

// Permission names the right that a call of the API needs. Each route of the API
// declares one, and [Authorize] checks it.
type Permission string

// The permissions. A permission that is not in the rules is always refused.
const (
	Anonymous        Permission = "anonymous"         // calls without a token: health, the API description, accepting an invitation
	Identity         Permission = "identity"          // read the own user and teams, revoke the own token
	TokenRead        Permission = "token:read"        // list the own tokens
	TokenWrite       Permission = "token:write"       // create and revoke own tokens
	InvitationAccept Permission = "invitation:accept" // join a team by an invitation
	TeamCreate       Permission = "team:create"       // create a team; control allows it to owners of the platform's first team
	TeamWrite        Permission = "team:write"        // rename and remove the team
	MemberRead       Permission = "member:read"
	MemberWrite      Permission = "member:write" // invite, change roles, remove
	AuditRead        Permission = "audit:read"
	ProjectRead      Permission = "project:read"
	ProjectCreate    Permission = "project:create"
	ProjectWrite     Permission = "project:write" // name and settings
	ProjectWeight    Permission = "project:weight"
	ProjectDelete    Permission = "project:delete"
	EnvRead          Permission = "env:read"   // names of variables, and values of the type plain
	EnvSecret        Permission = "env:secret" // values of the type encrypted
	EnvWrite         Permission = "env:write"
	DeploymentRead   Permission = "deployment:read"
	DeploymentWrite  Permission = "deployment:write" // upload, create, cancel
	DeploymentDelete Permission = "deployment:delete"
	ProductionWrite  Permission = "production:write" // promote, roll back
	AliasRead        Permission = "alias:read"
	AliasWrite       Permission = "alias:write"
	CacheWrite       Permission = "cache:write" // invalidate cached pages and data
	LogRead          Permission = "log:read"
	MetricsRead      Permission = "metrics:read"  // metrics of the whole platform
	PlatformRead     Permission = "platform:read" // usage of the platform itself; control allows it to owners of the platform's first team
	DebugRead        Permission = "debug:read"    // profiles and debug bundles; control allows it to owners of the platform's first team
)

// Scope limits a token to some of the permissions that its user's role has.
type Scope string

// The scopes.
const (
	ScopeFull     Scope = "full"      // every permission of the user
	ScopeReadOnly Scope = "read-only" // no change, no secret value
	ScopeProject  Scope = "project"   // one project: its settings, variables, deployments, aliases and logs
	ScopeDeploy   Scope = "deploy"    // upload, deploy, promote and roll back existing projects
	ScopeMetrics  Scope = "metrics"   // GET /metrics
)

// Scopes lists every [Scope].
func Scopes() []Scope {
	return []Scope{ScopeFull, ScopeReadOnly, ScopeProject, ScopeDeploy, ScopeMetrics}
}

// rule is the condition of a permission: the least role in the team, where ""
// is any user, and the scopes besides [ScopeFull] that include it.
type rule struct {
	role   Role
	scopes []Scope
}

var rules = map[Permission]rule{
	Identity:         {"", []Scope{ScopeReadOnly, ScopeProject, ScopeDeploy}},
	TokenRead:        {"", []Scope{ScopeReadOnly}},
	TokenWrite:       {"", nil},
	InvitationAccept: {"", nil},
	TeamCreate:       {"", nil},
	TeamWrite:        {Owner, nil},
	MemberRead:       {Viewer, []Scope{ScopeReadOnly}},
	MemberWrite:      {Owner, nil},
	AuditRead:        {Owner, []Scope{ScopeReadOnly}},
	ProjectRead:      {Viewer, []Scope{ScopeReadOnly, ScopeProject, ScopeDeploy}},
	ProjectCreate:    {Developer, nil},
	ProjectWrite:     {Developer, []Scope{ScopeProject}},
	ProjectWeight:    {Owner, nil},
	ProjectDelete:    {Developer, nil},
	EnvRead:          {Viewer, []Scope{ScopeReadOnly, ScopeProject}},
	EnvSecret:        {Developer, []Scope{ScopeProject}},
	EnvWrite:         {Developer, []Scope{ScopeProject}},
	DeploymentRead:   {Viewer, []Scope{ScopeReadOnly, ScopeProject, ScopeDeploy}},
	DeploymentWrite:  {Developer, []Scope{ScopeProject, ScopeDeploy}},
	DeploymentDelete: {Developer, []Scope{ScopeProject}},
	ProductionWrite:  {Developer, []Scope{ScopeProject, ScopeDeploy}},
	AliasRead:        {Viewer, []Scope{ScopeReadOnly, ScopeProject}},
	AliasWrite:       {Developer, []Scope{ScopeProject}},
	CacheWrite:       {Developer, []Scope{ScopeProject, ScopeDeploy}},
	LogRead:          {Viewer, []Scope{ScopeReadOnly, ScopeProject}},
	MetricsRead:      {Viewer, []Scope{ScopeReadOnly, ScopeMetrics}},
	PlatformRead:     {"", []Scope{ScopeReadOnly}},
	DebugRead:        {"", nil},
}

// Errors of authorisation.
var (
	ErrRoleTooLow     = &Error{Code: Forbidden, Reason: "role_too_low", Message: "your role in this team does not allow that", Hint: "ask an owner of the team"}
	ErrScopeTooNarrow = &Error{Code: Forbidden, Reason: "scope_too_narrow", Message: "the scope of the token does not allow that", Hint: "create a token with another scope: `lateen token add NAME --scope SCOPE`"}
)

// Authorize decides whether a token with a scope, of a user with a role in the team,
// has a permission. No other code decides on permissions. A permission without a
// rule, an unknown role and an unknown scope are refused. Errors:
// [ErrScopeTooNarrow], [ErrRoleTooLow].
func Authorize(role Role, scope Scope, need Permission) error {
	r, known := rules[need]
	switch {
	case !known || scope != ScopeFull && !slices.Contains(r.scopes, scope):
		return ErrScopeTooNarrow.With("this needs the permission %s, which a token with the scope %q does not have", need, scope)
	case r.role != "" && !role.Covers(r.role):
		return ErrRoleTooLow.With("this needs the role %s in the team, and yours is %s", strings.ToLower(string(r.role)), strings.ToLower(string(role)))
	}
	return nil
}

// NeedsTeam reports whether a permission depends on the role in a team.
func (p Permission) NeedsTeam() bool { return rules[p].role != "" }
