package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/store"
)

// invitationAge is the validity of an invitation.
const invitationAge = 7 * 24 * time.Hour

// TeamMember is a user with a role in a team.
type TeamMember struct {
	lateen.User

	Role lateen.Role
}

// Members returns the members of the caller's team, sorted by username, and the
// invitations that are still valid.
func (c *Control) Members(ctx context.Context) ([]TeamMember, []*lateen.Invitation, error) {
	p, err := authorize(ctx, lateen.MemberRead)
	if err != nil {
		return nil, nil, err
	}
	members, err := members(ctx, c.Store.Queries, p.Team)
	if err != nil {
		return nil, nil, err
	}
	invitations, err := c.Store.ListInvitations(ctx, p.Team)
	if err != nil {
		return nil, nil, err
	}
	return members, slices.DeleteFunc(invitations, func(i *lateen.Invitation) bool { return i.ExpiresAt <= c.now() }), nil
}

func members(ctx context.Context, q *store.Queries, team lateen.TeamID) ([]TeamMember, error) {
	rows, err := q.ListMembers(ctx, team)
	if err != nil {
		return nil, err
	}
	out := make([]TeamMember, 0, len(rows))
	for _, row := range rows {
		user, err := q.GetUser(ctx, row.User)
		if err != nil {
			return nil, err
		}
		out = append(out, TeamMember{User: *user, Role: row.Role})
	}
	slices.SortFunc(out, func(a, b TeamMember) int { return strings.Compare(a.Username, b.Username) })
	return out, nil
}

// findMember returns a member by user id or username. Errors: [lateen.ErrMemberNotFound].
func findMember(list []TeamMember, idOrName string) (*TeamMember, error) {
	i := slices.IndexFunc(list, func(m TeamMember) bool { return string(m.ID) == idOrName || m.Username == idOrName })
	if i < 0 {
		return nil, lateen.ErrMemberNotFound.With("member %q not found in the team", idOrName)
	}
	return &list[i], nil
}

// ChangeRole sets the role of a member, by user id or username. It revokes the
// invitations of a member that is no longer an owner. Errors:
// [lateen.ErrMemberNotFound], [lateen.ErrLastOwner], [lateen.ErrRoleInvalid].
func (c *Control) ChangeRole(ctx context.Context, idOrName string, role lateen.Role) (*TeamMember, error) {
	if _, err := lateen.ParseRole(string(role)); err != nil {
		return nil, err
	}
	return c.changeMember(ctx, lateen.ActionMemberUpdate, idOrName, role)
}

// RemoveMember removes a member, by user id or username. The tokens of the user lose
// access to the team, and the invitations of the user are revoked. Errors:
// [lateen.ErrMemberNotFound], [lateen.ErrLastOwner].
func (c *Control) RemoveMember(ctx context.Context, idOrName string) (*TeamMember, error) {
	return c.changeMember(ctx, lateen.ActionMemberRemove, idOrName, "")
}

// changeMember sets the role of a member, or removes the member if role is "".
func (c *Control) changeMember(ctx context.Context, action lateen.Action, idOrName string, role lateen.Role) (*TeamMember, error) {
	p, err := authorize(ctx, lateen.MemberWrite)
	if err != nil {
		return nil, err
	}
	var member *TeamMember
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		list, err := members(ctx, q, p.Team)
		if err != nil {
			return err
		}
		if member, err = findMember(list, idOrName); err != nil {
			return err
		}
		others := slices.DeleteFunc(slices.Clone(list), func(m TeamMember) bool { return m.ID == member.ID || m.Role != lateen.Owner })
		if member.Role == lateen.Owner && role != lateen.Owner && len(others) == 0 {
			return lateen.ErrLastOwner
		}
		if role == "" {
			err = q.DeleteMember(ctx, p.Team, member.ID)
		} else {
			err = q.PutMember(ctx, lateen.Member{Team: p.Team, User: member.ID, Role: role})
		}
		if err != nil {
			return err
		}
		if role != lateen.Owner {
			if err := c.endInvitationsOf(ctx, q, p, member.ID); err != nil {
				return err
			}
		}
		target := member.Username
		if role != "" {
			target += " (" + string(role) + ")"
		}
		return c.record(ctx, q, p, action, "", target)
	})
	if err != nil {
		return nil, err
	}
	member.Role = cmp.Or(role, member.Role)
	return member, nil
}

// Invite creates an invitation to the caller's team and returns its secret, which is
// not stored. Errors: [lateen.ErrEmailInvalid], [lateen.ErrRoleInvalid].
func (c *Control) Invite(ctx context.Context, email string, role lateen.Role) (string, *lateen.Invitation, error) {
	p, err := authorize(ctx, lateen.MemberWrite)
	if err != nil {
		return "", nil, err
	}
	token, _ := secret.NewToken()
	token = lateen.InvitationPrefix + token[strings.IndexByte(token, '_')+1:]
	i := &lateen.Invitation{
		ID: lateen.NewID[lateen.InvitationID]("inv_", c.Now()), Team: p.Team, Email: email, Role: role, Hash: secret.HashToken(token),
		Creator: p.User, CreatedAt: c.now(), ExpiresAt: lateen.MillisOf(c.Now().Add(invitationAge)),
	}
	if err := i.Validate(); err != nil {
		return "", nil, err
	}
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		return errors.Join(q.CreateInvitation(ctx, i), c.record(ctx, q, p, lateen.ActionMemberInvite, "", email+" ("+string(role)+")"))
	})
	if err != nil {
		return "", nil, err
	}
	return token, i, nil
}

// endInvitationsOf revokes the invitations to p's team that a user created and may
// no longer create.
func (c *Control) endInvitationsOf(ctx context.Context, q *store.Queries, p lateen.Principal, creator lateen.UserID) error {
	list, err := q.ListInvitations(ctx, p.Team)
	if err != nil {
		return err
	}
	for _, i := range list {
		if i.Creator != creator {
			continue
		}
		if err := c.endInvitation(ctx, q, p, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *Control) endInvitation(ctx context.Context, q *store.Queries, p lateen.Principal, i *lateen.Invitation) error {
	return errors.Join(q.DeleteInvitation(ctx, p.Team, i.ID), c.record(ctx, q, p, lateen.ActionInvitationRevoke, "", i.Email))
}

// RevokeInvitation removes an invitation of the caller's team. Errors:
// [lateen.ErrInvitationNotFound].
func (c *Control) RevokeInvitation(ctx context.Context, id lateen.InvitationID) error {
	p, err := authorize(ctx, lateen.MemberWrite)
	if err != nil {
		return err
	}
	return c.Store.Update(ctx, func(q *store.Queries) error {
		list, err := q.ListInvitations(ctx, p.Team)
		if err != nil {
			return err
		}
		n := slices.IndexFunc(list, func(i *lateen.Invitation) bool { return i.ID == id })
		if n < 0 {
			return lateen.ErrInvitationNotFound
		}
		return c.endInvitation(ctx, q, p, list[n])
	})
}

// Join adds the caller to the team of an invitation and removes the invitation. A
// member with a higher role keeps that role. Errors: [lateen.ErrInvitationInvalid].
func (c *Control) Join(ctx context.Context, token string) (*Membership, error) {
	p, err := authorize(ctx, lateen.InvitationAccept)
	if err != nil {
		return nil, err
	}
	var joined *Membership
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		joined, err = c.join(ctx, q, p, token)
		return err
	})
	return joined, err
}

// SignUp creates a user, adds the user to the team of an invitation, removes the
// invitation and returns a token of the user. If username is "", SignUp derives one
// from the invitation's e-mail address. Errors: [lateen.ErrInvitationInvalid],
// [lateen.ErrUsernameInvalid], [lateen.ErrUserTaken].
func (c *Control) SignUp(ctx context.Context, token, username, tokenName string) (string, *lateen.User, *Membership, error) {
	var joined *Membership
	var user *lateen.User
	var bearer string
	if _, err := c.openInvitation(ctx, c.Store.Queries, token); err != nil {
		return "", nil, nil, err // a guessed secret does not block writers
	}
	err := c.Store.Update(ctx, func(q *store.Queries) error {
		invitation, err := c.openInvitation(ctx, q, token)
		if err != nil {
			return err
		}
		user = &lateen.User{ID: lateen.NewID[lateen.UserID]("usr_", c.Now()), Username: username, Email: invitation.Email, CreatedAt: c.now()}
		if username == "" {
			if user.Username, err = freeUsername(ctx, q, invitation.Email); err != nil {
				return err
			}
		}
		if err := user.Validate(); err != nil {
			return err
		}
		if err := q.CreateUser(ctx, user); err != nil {
			return err
		}
		var row *lateen.Token
		bearer, row = c.newToken(user.ID, cmp.Or(tokenName, "invitation"))
		if err := row.Validate(); err != nil {
			return err
		}
		if err := q.CreateToken(ctx, row); err != nil {
			return err
		}
		joined, err = c.join(ctx, q, lateen.Principal{User: user.ID, Token: row.ID}, token)
		return err
	})
	if err != nil {
		return "", nil, nil, err
	}
	return bearer, user, joined, nil
}

func (c *Control) openInvitation(ctx context.Context, q *store.Queries, token string) (*lateen.Invitation, error) {
	i, err := q.GetInvitationByHash(ctx, secret.HashToken(token))
	if err == nil && i.ExpiresAt <= c.now() {
		return nil, lateen.ErrInvitationInvalid
	}
	return i, err
}

// join removes an invitation and adds the user of p to its team.
func (c *Control) join(ctx context.Context, q *store.Queries, p lateen.Principal, token string) (*Membership, error) {
	i, err := c.openInvitation(ctx, q, token)
	if err != nil {
		return nil, err
	}
	role := i.Role
	now, err := q.GetMember(ctx, i.Team, p.User)
	switch {
	case err == nil && now.Role.Covers(role):
		role = now.Role
	case err != nil && !errors.Is(err, lateen.ErrTeamNotFound):
		return nil, err
	}
	if err := q.PutMember(ctx, lateen.Member{Team: i.Team, User: p.User, Role: role}); err != nil {
		return nil, err
	}
	if err := q.DeleteInvitation(ctx, i.Team, i.ID); err != nil {
		return nil, err
	}
	team, err := q.GetTeam(ctx, string(i.Team))
	if err != nil {
		return nil, err
	}
	p.Team = i.Team
	return &Membership{Team: *team, Role: role}, c.record(ctx, q, p, lateen.ActionMemberJoin, "", i.Email+" ("+string(role)+")")
}

// freeUsername derives an unused username from an e-mail address.
func freeUsername(ctx context.Context, q *store.Queries, email string) (string, error) {
	const longest = 40
	local, _, _ := strings.Cut(email, "@")
	base := cmp.Or(cut(lateen.Label(strings.ToLower(local)), longest), "user")
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		_, err := q.GetUserByName(ctx, name)
		if errors.Is(err, lateen.ErrUserNotFound) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
	}
}
