package lateen

import "regexp"

// Team owns projects. Its slug is part of every generated host.
type Team struct {
	ID        TeamID `json:"id"`
	Slug      string `json:"slug"` // [a-z0-9-], 1 to 48 characters, unique
	Name      string `json:"name"`
	CreatedAt Millis `json:"createdAt"`
}

// Role is what a member may do in a team. Each includes those after it.
type Role string

// The roles.
const (
	Owner     Role = "OWNER"     // everything, members and tokens among it
	Developer Role = "DEVELOPER" // projects, deployments, variables, aliases
	Viewer    Role = "VIEWER"    // read everything but secrets
)

// Covers reports whether a member with role r may do what needs role need.
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

// Member is a user's place in a team.
type Member struct {
	Team TeamID `json:"teamId"`
	User UserID `json:"uid"`
	Role Role   `json:"role"`
}

// Token lets its bearer act as a user. Only a hash of its secret is kept.
type Token struct {
	ID        TokenID `json:"id"`
	User      UserID  `json:"userId"`
	Name      string  `json:"name"`
	Hash      string  `json:"-"` // hex SHA-256 of the secret
	CreatedAt Millis  `json:"createdAt"`
	ActiveAt  Millis  `json:"activeAt"`            // last use, to the minute
	ExpiresAt Millis  `json:"expiresAt,omitempty"` // 0: never
}

// Errors of teams, users and tokens.
var (
	ErrTeamNotFound  = &Error{Code: NotFound, Reason: "team_not_found", Message: "there is no such team", Hint: "list yours with `lateen teams` or drop --scope"}
	ErrTeamInvalid   = &Error{Code: Invalid, Reason: "team_invalid", Message: "a team's slug is 1 to 48 characters of a-z, 0-9 and -"}
	ErrTeamTaken     = &Error{Code: Conflict, Reason: "team_taken", Message: "the slug belongs to another team"}
	ErrUserNotFound  = &Error{Code: NotFound, Reason: "user_not_found", Message: "there is no such user"}
	ErrUserTaken     = &Error{Code: Conflict, Reason: "user_taken", Message: "the username belongs to another user"}
	ErrTokenInvalid  = &Error{Code: Unauthenticated, Reason: "invalid_token", Message: "the token is not valid", Hint: "log in with `lateen login`, or pass a token by --token or LATEEN_TOKEN"}
	ErrTokenNotFound = &Error{Code: NotFound, Reason: "token_not_found", Message: "there is no such token"}
	ErrTokenMissing  = &Error{Code: Unauthenticated, Reason: "missing_token", Message: "the request carries no token", Hint: "send `Authorization: Bearer <token>`"}
	ErrRoleTooLow    = &Error{Code: Forbidden, Reason: "role_too_low", Message: "your role in this team does not allow that", Hint: "ask an owner of the team"}
)

var slugPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$`)

// Validate reports a malformed team as [ErrTeamInvalid].
func (t *Team) Validate() error {
	if !slugPattern.MatchString(t.Slug) {
		return ErrTeamInvalid.With("%q is not a team slug: 1 to 48 characters of a-z, 0-9 and -", t.Slug)
	}
	return nil
}
