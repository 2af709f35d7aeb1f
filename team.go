package lateen

import (
	"regexp"
	"slices"
	"strings"
)

// Team owns projects. Its slug is part of every generated host.
type Team struct {
	ID        TeamID `json:"id"`
	Slug      string `json:"slug"` // [a-z0-9-], 1 to 48 characters, unique
	Name      string `json:"name"`
	CreatedAt Millis `json:"createdAt"`
}

// Role is the set of actions that a member may take in a team. Each role includes
// those after it.
type Role string

// The roles.
const (
	Owner     Role = "OWNER"     // everything, including members and tokens
	Developer Role = "DEVELOPER" // projects, deployments, variables, aliases
	Viewer    Role = "VIEWER"    // read everything but secrets
)

// Roles lists every [Role], the highest first.
func Roles() []Role { return []Role{Owner, Developer, Viewer} }

// ParseRole returns the role that a text names, in any case. Errors: [ErrRoleInvalid].
func ParseRole(text string) (Role, error) {
	role := Role(strings.ToUpper(text))
	if !slices.Contains(Roles(), role) {
		return "", ErrRoleInvalid.With("%q is not a role: owner, developer or viewer", text)
	}
	return role, nil
}

// Covers reports whether role r includes role need.
func (r Role) Covers(need Role) bool {
	rank := map[Role]int{Owner: 3, Developer: 2, Viewer: 1}
	return rank[r] >= rank[need] && rank[need] > 0
}

// User is a person with an account.
type User struct {
	ID        UserID `json:"id"`
	Username  string `json:"username"` // unique
	Email     string `json:"email"`
	Name      string `json:"name,omitempty"`
	CreatedAt Millis `json:"createdAt"`
}

// Member is the membership of a user in a team.
type Member struct {
	Team TeamID `json:"teamId"`
	User UserID `json:"uid"`
	Role Role   `json:"role"`
}

// Token authenticates its bearer as a user. The store holds only a hash of its
// secret.
type Token struct {
	ID        TokenID `json:"id"`
	User      UserID  `json:"userId"`
	Name      string  `json:"name"`
	Hash      string  `json:"-"` // hex SHA-256 of the secret
	CreatedAt Millis  `json:"createdAt"`
	ActiveAt  Millis  `json:"activeAt"`            // last use, to the minute
	ExpiresAt Millis  `json:"expiresAt,omitempty"` // expiry; 0 is never
	Scope     Scope   `json:"scope"`               // scope; the store treats "" as [ScopeFull]

	// Project is the only project that the token can reach; "" is every project
	// of its user. A token with [ScopeProject] always has one.
	Project ProjectID `json:"projectId,omitempty"`
}

// Validate reports a malformed token as [ErrTokenSettings].
func (t *Token) Validate() error {
	switch {
	case t.Name == "" || len(t.Name) > maxName:
		return ErrTokenSettings.With("the name of a token has 1 to %d characters", maxName)
	case !slices.Contains(Scopes(), t.Scope):
		return ErrTokenSettings.With("%q is not a scope: full, read-only, project, deploy or metrics", t.Scope)
	case t.Scope == ScopeProject && t.Project == "":
		return ErrTokenSettings.With("a token with the scope project needs a project").WithHint("name it with --project")
	case t.Project != "" && (t.Scope == ScopeFull || t.Scope == ScopeMetrics):
		return ErrTokenSettings.With("a token with the scope %s cannot be limited to a project", t.Scope).WithHint("use the scope project, deploy or read-only, or omit --project")
	}
	return nil
}

const maxName = 100 // characters of names of teams and tokens

// Invitation lets its bearer join a team once. The store holds only a hash of its
// secret.
type Invitation struct {
	ID        InvitationID `json:"id"`
	Team      TeamID       `json:"teamId"`
	Email     string       `json:"email"` // address of the invited person; the platform sends no mail
	Role      Role         `json:"role"`
	Hash      string       `json:"-"` // hex SHA-256 of the secret
	Creator   UserID       `json:"creatorId"`
	CreatedAt Millis       `json:"createdAt"`
	ExpiresAt Millis       `json:"expiresAt"`
}

// InvitationPrefix begins the secret of every invitation.
const InvitationPrefix = "lti_"

// Errors of teams, users and tokens.
var (
	ErrTeamNotFound  = &Error{Code: NotFound, Reason: "team_not_found", Message: "team not found", Hint: "list your teams with `lateen teams ls`, and choose one with `lateen teams switch` or --team"}
	ErrTeamInvalid   = &Error{Code: Invalid, Reason: "team_invalid", Message: "a team's slug is 1 to 48 characters of a-z, 0-9 and -"}
	ErrTeamTaken     = &Error{Code: Conflict, Reason: "team_taken", Message: "the slug belongs to another team"}
	ErrUserNotFound  = &Error{Code: NotFound, Reason: "user_not_found", Message: "user not found"}
	ErrUserTaken     = &Error{Code: Conflict, Reason: "user_taken", Message: "the username belongs to another user"}
	ErrTokenInvalid  = &Error{Code: Unauthenticated, Reason: "invalid_token", Message: "the token is not valid", Hint: "log in with `lateen login`, or pass a token with --token or LATEEN_TOKEN"}
	ErrTokenNotFound = &Error{Code: NotFound, Reason: "token_not_found", Message: "token not found"}
	ErrTokenMissing  = &Error{Code: Unauthenticated, Reason: "missing_token", Message: "the request carries no token", Hint: "send `Authorization: Bearer <token>`"}
	ErrTokenSettings = &Error{Code: Invalid, Reason: "token_settings_invalid", Message: "the settings of the token are malformed"}
	ErrTokenTaken    = &Error{Code: Conflict, Reason: "token_taken", Message: "you have a token of this name", Hint: "choose another name, or revoke that token with `lateen token rm NAME`"}

	ErrTeamNotEmpty  = &Error{Code: Conflict, Reason: "team_not_empty", Message: "the team has projects", Hint: "remove them first with `lateen project rm`"}
	ErrTeamPermanent = &Error{Code: Conflict, Reason: "team_permanent", Message: "the first team of the platform cannot be removed"}
	ErrTeamSlugFixed = &Error{Code: Invalid, Reason: "team_slug_fixed", Message: "the slug of a team cannot be changed: generated hosts contain it", Hint: "change the name of the team instead"}

	ErrMemberNotFound     = &Error{Code: NotFound, Reason: "member_not_found", Message: "member not found", Hint: "list the members with `lateen members ls`"}
	ErrLastOwner          = &Error{Code: Conflict, Reason: "last_owner", Message: "a team needs an owner", Hint: "make another member an owner first: `lateen members role NAME owner`"}
	ErrRoleInvalid        = &Error{Code: Invalid, Reason: "role_invalid", Message: "a role is OWNER, DEVELOPER or VIEWER"}
	ErrEmailInvalid       = &Error{Code: Invalid, Reason: "email_invalid", Message: "the e-mail address is malformed"}
	ErrUsernameInvalid    = &Error{Code: Invalid, Reason: "username_invalid", Message: "a username is 1 to 48 characters of a-z, 0-9 and -"}
	ErrInvitationInvalid  = &Error{Code: NotFound, Reason: "invitation_invalid", Message: "the invitation was used, was revoked, has expired or never existed", Hint: "ask an owner of the team for another one: `lateen members invite EMAIL`"}
	ErrInvitationNotFound = &Error{Code: NotFound, Reason: "invitation_not_found", Message: "invitation not found", Hint: "list the open ones with `lateen members ls`"}
)

var slugPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$`)

// Validate reports a malformed team as [ErrTeamInvalid].
func (t *Team) Validate() error {
	if !slugPattern.MatchString(t.Slug) {
		return ErrTeamInvalid.With("%q is not a team slug: 1 to 48 characters of a-z, 0-9 and -", t.Slug)
	}
	if len(t.Name) > maxName {
		return ErrTeamInvalid.With("the name of a team has %d characters at most", maxName)
	}
	return nil
}

// Validate reports a malformed user as [ErrUsernameInvalid].
func (u *User) Validate() error {
	if !slugPattern.MatchString(u.Username) {
		return ErrUsernameInvalid.With("%q is not a username: 1 to 48 characters of a-z, 0-9 and -", u.Username)
	}
	return nil
}

var emailPattern = regexp.MustCompile(`^[^@\s<>"]{1,64}@[^@\s<>"]{1,189}$`)

// Validate reports a malformed invitation as [ErrEmailInvalid] or [ErrRoleInvalid].
func (i *Invitation) Validate() error {
	if !emailPattern.MatchString(i.Email) {
		return ErrEmailInvalid.With("%q is not an e-mail address", i.Email)
	}
	_, err := ParseRole(string(i.Role))
	return err
}
