package api

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/lateen-dev/lateen"
)

// route is a row of the API: a method and path, the permission for them, and their
// handler.
type route struct {
	handler

	Method string
	Path   string // a pattern of [http.ServeMux] with the documented version; requests may use any version
	Also   string // other paths of the same handler
	Needs  lateen.Permission
	// Audit is the action of the audit log row that a successful call appends. It is
	// "" for a call that changes nothing and reads no secret, and for an upload,
	// which is covered by the row of its deployment.
	Audit   lateen.Action
	Tag     string
	Summary string
	Query   string // names of query parameters, as in parameterDocs
	MaxBody int64  // limit in bytes; 0 is 1 MiB, negative: the handler sets the limit
}

// patterns returns the unversioned paths of a row.
func (row route) patterns() []string {
	patterns := []string{unversioned(row.Path)}
	for also := range strings.FieldsSeq(row.Also) {
		patterns = append(patterns, unversioned(also))
	}
	return patterns
}

// handler answers requests of known types.
type handler struct {
	in, out reflect.Type // of the JSON bodies; nil is none
	stream  string       // content type of a body of no such type
	serve   func(a *API, w http.ResponseWriter, r *http.Request) error
}

// none is the type of an absent body.
type none struct{}

// statusChooser is a reply with its own status instead of 200.
type statusChooser interface{ status() int }

// call makes a handler from a function with a JSON request and a JSON reply.
func call[In, Out any](fn func(a *API, r *http.Request, in *In) (*Out, error)) handler {
	h := handler{in: bodyType[In](), out: bodyType[Out]()}
	h.serve = func(a *API, w http.ResponseWriter, r *http.Request) error {
		in := new(In)
		if h.in != nil {
			if err := readJSON(r, in); err != nil {
				return err
			}
		}
		release, err := admitCall(r, a.calls)
		if err != nil {
			return err
		}
		defer release()
		out, err := fn(a, r, in)
		if err != nil {
			return err
		}
		code := http.StatusOK
		if s, ok := any(out).(statusChooser); ok {
			code = s.status()
		}
		if h.out == nil {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		writeJSON(w, code, out)
		return nil
	}
	return h
}

// ofManifest wraps a handler that reads a whole manifest, which may use hundreds of
// megabytes until its reply is sent, and limits its concurrent calls.
func ofManifest(h handler) handler {
	serve := h.serve
	h.serve = func(a *API, w http.ResponseWriter, r *http.Request) error {
		release, err := admitCall(r, a.manifests)
		if err != nil {
			return err
		}
		defer release()
		return serve(a, w, r)
	}
	return h
}

func bodyType[T any]() reflect.Type {
	if t := reflect.TypeFor[T](); t != reflect.TypeFor[none]() {
		return t
	}
	return nil
}

// stream makes a handler from a function that writes its reply itself.
func stream(contentType string, serve func(a *API, w http.ResponseWriter, r *http.Request) error) handler {
	return handler{stream: contentType, serve: serve}
}

const (
	get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete

	ndjson      = "application/x-ndjson"
	octets      = "application/octet-stream"
	deployBytes = 64 << 20

	anonymousBytes = 16 << 10 // body of a request without a token
)

// routes is the whole API.
func routes() []route {
	return []route{
		{Method: get, Path: "/healthz", Needs: lateen.Anonymous, Tag: "platform", Summary: "Check that the platform is up", handler: call(health)},
		{Method: get, Path: "/openapi.json", Needs: lateen.Anonymous, Tag: "platform", Summary: "Describe this API", handler: stream("application/json", describe)},
		{Method: get, Path: "/v1/usage", Needs: lateen.PlatformRead, Tag: "platform", Summary: "Get the resources that the platform's own processes held and used, by hour and by kind of process; by default in the last 24 hours, at most 31 days", Query: "since until", handler: call(getPlatformUsage)},
		{Method: get, Path: "/debug/pprof/{profile}", Needs: lateen.DebugRead, Tag: "platform", Summary: "Take a profile of the platform's process, in the format of pprof", Query: "seconds debug", handler: debugs(octets, Debugger.Profile)},
		{Method: get, Path: "/debug/bundle", Needs: lateen.DebugRead, Tag: "platform", Summary: "Create a debug bundle, a .tar.gz with profiles, logs, metrics and settings without secrets", handler: debugs("application/gzip", Debugger.Bundle)},

		{Method: get, Path: "/v2/user", Needs: lateen.Identity, Tag: "user", Summary: "Get the user of the token", handler: call(whoAmI)},
		{Method: get, Path: "/v3/user/tokens", Needs: lateen.TokenRead, Tag: "user", Summary: "List tokens", handler: call(listTokens)},
		{Method: post, Path: "/v3/user/tokens", Needs: lateen.TokenWrite, Audit: lateen.ActionTokenCreate, Tag: "user", Summary: "Create a token", handler: call(createToken)},
		{Method: del, Path: "/v3/user/tokens/{token}", Needs: lateen.TokenWrite, Audit: lateen.ActionTokenRevoke, Tag: "user", Summary: "Revoke a token", handler: call(revokeToken)},
		{Method: del, Path: "/v3/user/tokens/current", Needs: lateen.Identity, Audit: lateen.ActionTokenRevoke, Tag: "user", Summary: "Revoke the token of the request", handler: call(revokeCurrent)},

		{Method: get, Path: "/v2/teams", Needs: lateen.Identity, Tag: "team", Summary: "List the teams of the user", handler: call(listTeams)},
		{Method: get, Path: "/v2/teams/{team}", Needs: lateen.Identity, Tag: "team", Summary: "Get a team by id or slug", handler: call(getTeam)},
		{Method: post, Path: "/v1/teams", Needs: lateen.TeamCreate, Audit: lateen.ActionTeamCreate, Tag: "team", Summary: "Create a team, with the user as its owner", handler: call(createTeam)},
		{Method: patch, Path: "/v2/teams/{team}", Needs: lateen.TeamWrite, Audit: lateen.ActionTeamUpdate, Tag: "team", Summary: "Change the name of a team", handler: call(renameTeam)},
		{Method: del, Path: "/v1/teams/{team}", Needs: lateen.TeamWrite, Audit: lateen.ActionTeamDelete, Tag: "team", Summary: "Remove a team that has no projects", handler: call(deleteTeam)},
		{Method: get, Path: "/v2/teams/{team}/members", Needs: lateen.MemberRead, Tag: "team", Summary: "List the members of a team and its open invitations", handler: call(listMembers)},
		{Method: post, Path: "/v2/teams/{team}/members", Needs: lateen.MemberWrite, Audit: lateen.ActionMemberInvite, Tag: "team", Summary: "Invite a person to a team", handler: handler{in: bodyType[inviteRequest](), out: bodyType[inviteReply](), serve: invite}},
		{Method: patch, Path: "/v1/teams/{team}/members/{member}", Needs: lateen.MemberWrite, Audit: lateen.ActionMemberUpdate, Tag: "team", Summary: "Change the role of a member, by user id or username", handler: call(changeRole)},
		{Method: del, Path: "/v1/teams/{team}/members/{member}", Needs: lateen.MemberWrite, Audit: lateen.ActionMemberRemove, Tag: "team", Summary: "Remove a member from a team, by user id or username", handler: call(removeMember)},
		{Method: del, Path: "/v1/teams/{team}/invitations/{invitation}", Needs: lateen.MemberWrite, Audit: lateen.ActionInvitationRevoke, Tag: "team", Summary: "Revoke an invitation", handler: call(revokeInvitation)},
		{Method: post, Path: "/v1/invitations/accept", Needs: lateen.Anonymous, Audit: lateen.ActionMemberJoin, Tag: "team", Summary: "Accept an invitation as a new user, with a token", MaxBody: anonymousBytes, handler: call(acceptInvitation)},
		{Method: post, Path: "/v1/invitations/join", Needs: lateen.InvitationAccept, Audit: lateen.ActionMemberJoin, Tag: "team", Summary: "Accept an invitation as the user of the token", handler: call(joinTeam)},
		{Method: get, Path: "/v3/events", Needs: lateen.AuditRead, Tag: "audit", Summary: "Read the audit log of a team, newest first", Query: "limit cursor since until projectIds userId types", handler: call(listAudit)},

		{Method: get, Path: "/v9/projects", Needs: lateen.ProjectRead, Tag: "project", Summary: "List projects", Query: "limit until search repoUrl", handler: call(listProjects)},
		{Method: post, Path: "/v9/projects", Needs: lateen.ProjectCreate, Audit: lateen.ActionProjectCreate, Tag: "project", Summary: "Create a project", handler: call(createProject)},
		{Method: get, Path: "/v9/projects/{project}", Needs: lateen.ProjectRead, Tag: "project", Summary: "Get a project by id or name", Query: "rollbackInfo", handler: ofManifest(call(getProject))},
		{Method: patch, Path: "/v9/projects/{project}", Needs: lateen.ProjectWrite, Audit: lateen.ActionProjectUpdate, Tag: "project", Summary: "Change a project", handler: call(updateProject)},
		{Method: del, Path: "/v9/projects/{project}", Needs: lateen.ProjectDelete, Audit: lateen.ActionProjectDelete, Tag: "project", Summary: "Delete a project with its deployments, aliases and variables", handler: call(deleteProject)},
		{Method: get, Path: "/v9/projects/{project}/custom-environments", Needs: lateen.ProjectRead, Tag: "project", Summary: "List custom environments", handler: call(listEnvironments)},
		{Method: get, Path: "/v1/projects/{project}/functions", Needs: lateen.ProjectRead, Tag: "function", Summary: "List the functions of a project with their current state", handler: ofManifest(call(listFunctions))},
		{Method: get, Path: "/v1/projects/{project}/usage", Needs: lateen.ProjectRead, Tag: "function", Summary: "Get the resources that the instances of a project held and used, by hour and by function; by default in the last 24 hours, at most 31 days", Query: "since until", handler: call(getUsage)},
		{Method: get, Path: "/v9/projects/{project}/production-deployment", Needs: lateen.DeploymentRead, Tag: "project", Summary: "Get the deployment that serves production", handler: call(getProduction)},

		{Method: get, Path: "/v10/projects/{project}/env", Needs: lateen.EnvRead, Tag: "environment", Summary: "List variables, with the values of plain variables", Query: "decrypt target customEnvironmentId gitBranch", handler: call(listEnv)},
		{Method: post, Path: "/v10/projects/{project}/env", Needs: lateen.EnvWrite, Audit: lateen.ActionEnvCreate, Tag: "environment", Summary: "Add variables", Query: "upsert", handler: call(createEnv)},
		{Method: patch, Path: "/v10/projects/{project}/env/{env}", Needs: lateen.EnvWrite, Audit: lateen.ActionEnvUpdate, Tag: "environment", Summary: "Change a variable", handler: call(updateEnv)},
		{Method: del, Path: "/v10/projects/{project}/env/{env}", Needs: lateen.EnvWrite, Audit: lateen.ActionEnvDelete, Tag: "environment", Summary: "Remove a variable", handler: call(deleteEnv)},
		{Method: get, Path: "/v3/env/pull/{project}/{target}", Also: "/v3/env/pull/{project}/{target}/{branch...}", Needs: lateen.EnvSecret, Audit: lateen.ActionEnvRead, Tag: "environment", Summary: "Get all values of an environment", handler: call(pullEnv)},
		{Method: get, Path: "/v3/env/pull/{deployment}", Needs: lateen.EnvSecret, Audit: lateen.ActionEnvRead, Tag: "environment", Summary: "Get all values of a deployment, or of the development environment of a project", handler: call(pullDeploymentEnv)},

		{Method: post, Path: "/v2/files", Needs: lateen.DeploymentWrite, Tag: "deployment", Summary: "Upload a file, named by its SHA-1 in x-now-digest", MaxBody: -1, handler: handler{stream: octets, out: bodyType[uploadReply](), serve: uploadFile}},
		{Method: post, Path: "/v13/deployments", Needs: lateen.DeploymentWrite, Audit: lateen.ActionDeploymentCreate, Tag: "deployment", Summary: "Create a deployment", Query: "prebuilt", MaxBody: deployBytes, handler: handler{in: bodyType[deployRequest](), out: bodyType[deployment](), serve: createDeployment}},
		{Method: get, Path: "/v6/deployments", Needs: lateen.DeploymentRead, Tag: "deployment", Summary: "List deployments", Query: "limit until since from projectId app state target branch users", handler: call(listDeployments)},
		{Method: get, Path: "/v13/deployments/{deployment}", Needs: lateen.DeploymentRead, Tag: "deployment", Summary: "Get a deployment by id or host", handler: call(getDeployment)},
		{Method: del, Path: "/v13/deployments/{deployment}", Needs: lateen.DeploymentDelete, Audit: lateen.ActionDeploymentDelete, Tag: "deployment", Summary: "Delete a deployment", Query: "safe", handler: call(deleteDeployment)},
		{Method: patch, Path: "/v12/deployments/{deployment}/cancel", Needs: lateen.DeploymentWrite, Audit: lateen.ActionDeploymentCancel, Tag: "deployment", Summary: "Cancel a deployment that is not ready", handler: call(cancelDeployment)},
		{Method: get, Path: "/v11/deployments/{deployment}/builds", Needs: lateen.DeploymentRead, Tag: "deployment", Summary: "List the outputs of a deployment", handler: ofManifest(call(listBuilds))},
		{Method: get, Path: "/v3/deployments/{deployment}/events", Needs: lateen.DeploymentRead, Tag: "deployment", Summary: "Read or follow the build log", Query: "follow format limit since untilTime direction", handler: stream(ndjson, readEvents)},
		{Method: get, Path: "/v1/deployments/{deployment}/checks", Needs: lateen.DeploymentRead, Tag: "deployment", Summary: "List the checks of a deployment", handler: call(listChecks)},
		{Method: get, Path: "/v2/deployments/{deployment}/check-runs", Needs: lateen.DeploymentRead, Tag: "deployment", Summary: "List the check runs of a deployment", handler: call(listCheckRuns)},

		{Method: get, Path: "/v2/deployments/{deployment}/aliases", Needs: lateen.AliasRead, Tag: "alias", Summary: "List the aliases of a deployment", handler: call(listDeploymentAliases)},
		{Method: post, Path: "/v2/deployments/{deployment}/aliases", Needs: lateen.AliasWrite, Audit: lateen.ActionAliasSet, Tag: "alias", Summary: "Point a host at a deployment", handler: call(setAlias)},
		{Method: get, Path: "/v4/aliases", Needs: lateen.AliasRead, Tag: "alias", Summary: "List aliases", Query: "limit until projectId", handler: call(listAliases)},
		{Method: get, Path: "/v4/aliases/{alias}", Needs: lateen.AliasRead, Tag: "alias", Summary: "Get an alias by id or host", handler: call(getAlias)},
		{Method: del, Path: "/v2/aliases/{alias}", Needs: lateen.AliasWrite, Audit: lateen.ActionAliasRemove, Tag: "alias", Summary: "Remove an alias", handler: call(removeAlias)},
		{Method: get, Path: "/v5/domains/{domain}", Needs: lateen.AliasRead, Tag: "alias", Summary: "Check whether a domain may be used for aliases", handler: call(getDomain)},

		{Method: post, Path: "/v10/projects/{project}/promote/{deployment}", Needs: lateen.ProductionWrite, Audit: lateen.ActionPromote, Tag: "production", Summary: "Make a deployment serve production", handler: call(promote)},
		{Method: post, Path: "/v9/projects/{project}/rollback/{deployment}", Needs: lateen.ProductionWrite, Audit: lateen.ActionRollback, Tag: "production", Summary: "Make an earlier deployment serve production again", handler: call(rollback)},
		{Method: get, Path: "/v9/projects/{project}/promote/aliases", Also: "/v9/projects/{project}/rollback/aliases", Needs: lateen.ProjectRead, Tag: "production", Summary: "List the aliases moved by the latest promotion or rollback", Query: "failedOnly limit until", handler: call(listMoves)},

		{Method: post, Path: "/v1/edge-cache/purge-all", Needs: lateen.CacheWrite, Audit: lateen.ActionCacheInvalidate, Tag: "cache", Summary: "Expire all cached pages of a project", Query: "projectIdOrName", handler: call(purgePages)},
		{Method: del, Path: "/v1/data-cache/purge-all", Needs: lateen.CacheWrite, Audit: lateen.ActionCacheInvalidate, Tag: "cache", Summary: "Expire all values in the data cache of a project", Query: "projectIdOrName", handler: call(purgeData)},
		{Method: post, Path: "/v1/edge-cache/invalidate-by-tags", Needs: lateen.CacheWrite, Audit: lateen.ActionCacheInvalidate, Tag: "cache", Summary: "Make the cached pages and values with one of some tags stale: the next request gets the stale page and starts a refresh in the background", Query: "projectIdOrName", handler: call(invalidateTags)},
		{Method: post, Path: "/v1/edge-cache/dangerously-delete-by-tags", Needs: lateen.CacheWrite, Audit: lateen.ActionCacheInvalidate, Tag: "cache", Summary: "Expire the cached pages and values with one of some tags: the next request waits for a new page", Query: "projectIdOrName", handler: call(expireTags)},

		{Method: get, Path: "/v1/projects/{project}/deployments/{deployment}/runtime-logs", Needs: lateen.LogRead, Tag: "log", Summary: "Follow the logs of a deployment", handler: stream(ndjson, tailLogs)},
		{Method: get, Path: "/v1/projects/{project}/logs", Needs: lateen.LogRead, Tag: "log", Summary: "Read or follow requests with their function logs", Query: "follow after limit before page startDate endDate deploymentId environment level statusCode source search requestId branch", handler: stream(ndjson, readEntries)},
		{Method: get, Path: "/v1/requests/{request}", Needs: lateen.LogRead, Tag: "log", Summary: "Get a request by its id (as in x-vercel-id), with its function logs", handler: call(getRequest)},
		{Method: get, Path: "/api/logs/request-logs", Needs: lateen.LogRead, Tag: "log", Summary: "Search the requests that deployments answered", Query: "projectId page startDate endDate deploymentId environment level statusCode source search requestId branch", handler: call(searchLogs)},
	}
}
