package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Member is a member of a team with the username and the e-mail address of the user.
type Member struct {
	UID      lateen.UserID `json:"uid"`
	Username string        `json:"username"`
	Email    string        `json:"email"`
	Role     lateen.Role   `json:"role"`

	raw rawJSON
}

// UnmarshalJSON implements [json.Unmarshaler].
func (m *Member) UnmarshalJSON(b []byte) error {
	type fields Member
	m.raw = rawJSON(bytes.Clone(b))
	return json.Unmarshal(b, (*fields)(m))
}

// MarshalJSON writes the member as the API sent it.
func (m *Member) MarshalJSON() ([]byte, error) { return m.raw.MarshalJSON() }

// Invitation is an invitation to a team.
type Invitation struct {
	ID        lateen.InvitationID `json:"id"`
	Email     string              `json:"email"`
	Role      lateen.Role         `json:"role"`
	CreatedAt lateen.Millis       `json:"createdAt"`
	ExpiresAt lateen.Millis       `json:"expiresAt"`

	// Secret accepts the invitation; only [Client.Invite] returns it.
	Secret string `json:"invitation,omitempty"`
}

// CreateTeam creates a team with the token's user as its owner. A name of "" is the
// slug.
func (c *Client) CreateTeam(ctx context.Context, slug, name string) (*Team, error) {
	var t Team
	in := map[string]string{"slug": slug, "name": name}
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/teams", in: in, out: &t, atMostOnce: true})
	return &t, err
}

// TeamOf returns a team of the token's user, by id or slug.
func (c *Client) TeamOf(ctx context.Context, idOrSlug string) (*Team, error) {
	var t Team
	err := c.do(ctx, call{method: http.MethodGet, path: "/v2/teams" + path(idOrSlug), out: &t})
	return &t, err
}

// RenameTeam changes the name of a team, by id or slug.
func (c *Client) RenameTeam(ctx context.Context, idOrSlug, name string) (*Team, error) {
	var t Team
	err := c.do(ctx, call{method: http.MethodPatch, path: "/v2/teams" + path(idOrSlug), in: map[string]string{"name": name}, out: &t})
	return &t, err
}

// DeleteTeam removes a team without projects, by id or slug.
func (c *Client) DeleteTeam(ctx context.Context, idOrSlug string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/teams" + path(idOrSlug)})
}

// Members returns the members of a team and its open invitations.
func (c *Client) Members(ctx context.Context, team string) ([]Member, []Invitation, error) {
	var reply struct {
		Members     []Member     `json:"members"`
		Invitations []Invitation `json:"emailInviteCodes"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v2/teams" + path(team, "members"), out: &reply})
	return reply.Members, reply.Invitations, err
}

// Invite creates an invitation to a team, with its secret.
func (c *Client) Invite(ctx context.Context, team, email string, role lateen.Role) (*Invitation, error) {
	var i Invitation
	in := map[string]string{"email": email, "role": string(role)}
	err := c.do(ctx, call{method: http.MethodPost, path: "/v2/teams" + path(team, "members"), in: in, out: &i, atMostOnce: true})
	return &i, err
}

// RevokeInvitation revokes an invitation to a team.
func (c *Client) RevokeInvitation(ctx context.Context, team string, id lateen.InvitationID) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/teams" + path(team, "invitations", string(id))})
}

// ChangeRole changes the role of a member, by user id or username.
func (c *Client) ChangeRole(ctx context.Context, team, member string, role lateen.Role) (*Member, error) {
	var m Member
	in := map[string]string{"role": string(role)}
	err := c.do(ctx, call{method: http.MethodPatch, path: "/v1/teams" + path(team, "members", member), in: in, out: &m})
	return &m, err
}

// RemoveMember removes a member from a team, by user id or username.
func (c *Client) RemoveMember(ctx context.Context, team, member string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/teams" + path(team, "members", member)})
}

// AcceptInvitation creates a user by the secret of an invitation and returns the secret
// of a token of that user. A username of "" is derived from the e-mail address. The
// call needs no token.
func (c *Client) AcceptInvitation(ctx context.Context, secret, username, tokenName string) (string, error) {
	var reply struct {
		Secret string `json:"bearerToken"`
	}
	in := map[string]string{"invitation": secret, "username": username, "tokenName": tokenName}
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/invitations/accept", in: in, out: &reply, atMostOnce: true})
	return reply.Secret, err
}

// Join adds the token's user to the team of an invitation's secret.
func (c *Client) Join(ctx context.Context, secret string) (*Team, error) {
	var t Team
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/invitations/join", in: map[string]string{"invitation": secret}, out: &t, atMostOnce: true})
	return &t, err
}

// AuditQuery selects entries of the audit log; a zero field selects all.
type AuditQuery struct {
	Project lateen.ProjectID
	User    lateen.UserID // the actor
	Actions []lateen.Action
	Since   lateen.Millis // at or after
	Cursor  string        // that a page returned; "" is the newest
	Limit   int           // at most 100; 0 is 20
}

// Audit returns a page of the audit log of the team, newest first, and the cursor of
// the next page, "" if there is none.
func (c *Client) Audit(ctx context.Context, q AuditQuery) ([]lateen.AuditEvent, string, error) {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" && value != "0" {
			query.Set(name, value)
		}
	}
	actions := make([]string, 0, len(q.Actions))
	for _, a := range q.Actions {
		actions = append(actions, string(a))
	}
	set("projectIds", string(q.Project))
	set("userId", string(q.User))
	set("types", strings.Join(actions, ","))
	set("since", strconv.FormatInt(int64(q.Since), 10))
	set("cursor", q.Cursor)
	set("limit", strconv.Itoa(q.Limit))
	var reply struct {
		Events     []lateen.AuditEvent `json:"events"`
		Pagination struct {
			Next string `json:"next"`
		} `json:"pagination"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v3/events", query: query, out: &reply})
	return reply.Events, reply.Pagination.Next, err
}
