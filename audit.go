package lateen

// Action names a change, or the reading of a secret, in the audit log.
type Action string

// The actions. The part before the dot is the kind of the target.
const (
	ActionTeamCreate       Action = "team.create"
	ActionTeamUpdate       Action = "team.update"
	ActionTeamDelete       Action = "team.delete"
	ActionMemberInvite     Action = "member.invite"
	ActionMemberJoin       Action = "member.join"
	ActionMemberUpdate     Action = "member.update"
	ActionMemberRemove     Action = "member.remove"
	ActionInvitationRevoke Action = "invitation.revoke"
	ActionTokenCreate      Action = "token.create"
	ActionTokenRevoke      Action = "token.revoke"
	ActionProjectCreate    Action = "project.create"
	ActionProjectUpdate    Action = "project.update"
	ActionProjectDelete    Action = "project.delete"
	ActionEnvCreate        Action = "env.create"
	ActionEnvUpdate        Action = "env.update"
	ActionEnvDelete        Action = "env.delete"
	ActionEnvRead          Action = "env.read" // values of encrypted variables
	ActionDeploymentCreate Action = "deployment.create"
	ActionDeploymentCancel Action = "deployment.cancel"
	ActionDeploymentDelete Action = "deployment.delete"
	ActionPromote          Action = "production.promote"
	ActionRollback         Action = "production.rollback"
	ActionAliasSet         Action = "alias.set"
	ActionAliasRemove      Action = "alias.remove"
	ActionCacheInvalidate  Action = "cache.invalidate"
)

// Actions lists every [Action].
func Actions() []Action {
	return []Action{
		ActionTeamCreate, ActionTeamUpdate, ActionTeamDelete,
		ActionMemberInvite, ActionMemberJoin, ActionMemberUpdate, ActionMemberRemove, ActionInvitationRevoke,
		ActionTokenCreate, ActionTokenRevoke,
		ActionProjectCreate, ActionProjectUpdate, ActionProjectDelete,
		ActionEnvCreate, ActionEnvUpdate, ActionEnvDelete, ActionEnvRead,
		ActionDeploymentCreate, ActionDeploymentCancel, ActionDeploymentDelete,
		ActionPromote, ActionRollback, ActionAliasSet, ActionAliasRemove, ActionCacheInvalidate,
	}
}

// AuditEvent is one row of the audit log. Rows are appended in the transaction of
// the change and are never altered; names are those at the time of the change. No
// field holds a secret value.
type AuditEvent struct {
	ID          AuditID   `json:"id"`
	Team        TeamID    `json:"teamId"`
	CreatedAt   Millis    `json:"createdAt"`
	User        UserID    `json:"userId"` // the actor
	Username    string    `json:"username"`
	Token       TokenID   `json:"tokenId,omitempty"` // token of the actor; "" without one, as for an invitation
	TokenName   string    `json:"tokenName,omitempty"`
	Project     ProjectID `json:"projectId,omitempty"` // "" if the target belongs to no project
	ProjectName string    `json:"projectName,omitempty"`
	Action      Action    `json:"action"`
	Target      string    `json:"target"`              // name of the target: a host, a variable, a username
	Client      string    `json:"clientIp,omitempty"`  // network address of the client
	Request     RequestID `json:"requestId,omitempty"` // id of the API request
}
