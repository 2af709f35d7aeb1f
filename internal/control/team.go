package control

import (
	"cmp"
	"context"
	"errors"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/store"
)

const (
	ownerSetting = "owner"  // id of the first user
	touchAfter   = 60 * 1e3 // ms between two updates of a token's time of use
)

// Account is a user with the user's teams.
type Account struct {
	User  lateen.User
	Teams []Membership
}

// Membership is a team with a user's role in it.
type Membership struct {
	lateen.Team

	Role lateen.Role
}

// Bootstrap creates the first user, team and token of a new platform, and returns
// the token's secret. created is false if they exist already.
func (c *Control) Bootstrap(ctx context.Context) (token string, created bool, err error) {
	now, slug, name := c.Now(), c.Options.Team, "owner"
	if slug == name { // the vercel CLI does not accept a scope equal to the username as a team
		name = "admin"
	}
	user := lateen.User{ID: lateen.NewID[lateen.UserID]("usr_", now), Username: name, Email: name + "@" + c.Domain, CreatedAt: c.now()}
	team := lateen.Team{ID: lateen.NewID[lateen.TeamID]("team_", now), Slug: slug, Name: slug, CreatedAt: c.now()}
	if err := team.Validate(); err != nil {
		return "", false, err
	}
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		_, exists, err := q.GetSetting(ctx, ownerSetting)
		if err != nil || exists {
			return err
		}
		var row *lateen.Token
		token, row = c.newToken(user.ID, "first token")
		created = true
		return errors.Join(
			q.CreateUser(ctx, &user),
			q.CreateTeam(ctx, &team),
			q.PutMember(ctx, lateen.Member{Team: team.ID, User: user.ID, Role: lateen.Owner}),
			q.CreateToken(ctx, row),
			q.PutSetting(ctx, ownerSetting, string(user.ID)))
	})
	if err != nil {
		return "", false, err
	}
	return token, created, nil
}

// OwnerToken issues another token of the first user, for an operator that has the
// data directory and lost the first token.
func (c *Control) OwnerToken(ctx context.Context) (string, error) {
	owner, exists, err := c.Store.GetSetting(ctx, ownerSetting)
	if err != nil {
		return "", err
	}
	if !exists {
		return "", lateen.ErrUserNotFound
	}
	token, row := c.newToken(lateen.UserID(owner), "token of the data directory")
	first, err := c.Store.FirstTeam(ctx)
	if err != nil {
		return "", err
	}
	p := lateen.Principal{User: row.User, Team: first.ID}
	return token, c.Store.Update(ctx, func(q *store.Queries) error {
		return errors.Join(q.CreateToken(ctx, row), c.recordToken(ctx, q, p, lateen.ActionTokenCreate, row, row.Name))
	})
}

// Authenticate returns the principal of a token in a team given by id or slug; "" is
// the team that the user joined first. Errors: [lateen.ErrTokenInvalid] for an
// unknown or expired token, [lateen.ErrTeamNotFound] for a team without the user.
func (c *Control) Authenticate(ctx context.Context, token, team string) (lateen.Principal, error) {
	if token == "" {
		return lateen.Principal{}, lateen.ErrTokenMissing
	}
	row, err := c.Store.GetTokenByHash(ctx, secret.HashToken(token))
	if err != nil {
		return lateen.Principal{}, err
	}
	now := c.now()
	if row.ExpiresAt != 0 && row.ExpiresAt <= now {
		return lateen.Principal{}, lateen.ErrTokenInvalid.With("the token has expired")
	}
	if now-row.ActiveAt > touchAfter || row.ActiveAt == row.CreatedAt {
		if err := c.Store.TouchToken(ctx, row.ID, now); err != nil {
			c.Log.Warn("the use of a token was not recorded", "token_id", row.ID, "err", err) // a full disk must not lock users out
		}
	}
	if team == "" && row.Project != "" {
		project, err := c.Store.FindProject(ctx, row.Project)
		if err != nil {
			return lateen.Principal{}, lateen.ErrTokenInvalid.With("the project of the token was deleted").Because(err)
		}
		team = string(project.Team)
	}
	p := lateen.Principal{User: row.User, Token: row.ID, Scope: row.Scope, Project: row.Project, Until: row.ExpiresAt}
	p.Team, p.Role, err = c.membership(ctx, row.User, team)
	return p, err
}

func (c *Control) membership(ctx context.Context, user lateen.UserID, team string) (lateen.TeamID, lateen.Role, error) {
	var id lateen.TeamID
	if team == "" {
		teams, err := c.Store.ListTeams(ctx, user)
		if err != nil || len(teams) == 0 {
			return "", "", err
		}
		id = teams[0].ID
	} else {
		t, err := c.Store.GetTeam(ctx, team)
		if err != nil {
			return "", "", err
		}
		id = t.ID
	}
	member, err := c.Store.GetMember(ctx, id, user)
	if err != nil {
		return "", "", err
	}
	return id, member.Role, nil
}

// WhoAmI returns the user of ctx and the user's teams.
func (c *Control) WhoAmI(ctx context.Context) (*Account, error) {
	p, err := authorize(ctx, lateen.Identity)
	if err != nil {
		return nil, err
	}
	user, err := c.Store.GetUser(ctx, p.User)
	if err != nil {
		return nil, err
	}
	teams, err := c.Store.ListTeams(ctx, p.User)
	if err != nil {
		return nil, err
	}
	account := &Account{User: *user}
	for _, team := range teams {
		member, err := c.Store.GetMember(ctx, team.ID, p.User)
		if err != nil {
			return nil, err
		}
		account.Teams = append(account.Teams, Membership{Team: *team, Role: member.Role})
	}
	return account, nil
}

// Team returns a team of the caller by id or slug.
func (c *Control) Team(ctx context.Context, idOrSlug string) (*Membership, error) {
	p, err := authorize(ctx, lateen.Identity)
	if err != nil {
		return nil, err
	}
	_, role, err := c.membership(ctx, p.User, idOrSlug)
	if err != nil {
		return nil, err
	}
	team, err := c.Store.GetTeam(ctx, idOrSlug)
	if err != nil {
		return nil, err
	}
	return &Membership{Team: *team, Role: role}, nil
}

// CreateTeam creates a team and makes the caller its owner. As each team has a share
// of the platform's resources, the caller must be an owner of the platform's first
// team, independent of the current team. If name is "", it is the slug. Errors:
// [lateen.ErrTeamInvalid], [lateen.ErrTeamTaken], [lateen.ErrRoleTooLow].
func (c *Control) CreateTeam(ctx context.Context, slug, name string) (*Membership, error) {
	p, err := authorize(ctx, lateen.TeamCreate)
	if err != nil {
		return nil, err
	}
	team := lateen.Team{ID: lateen.NewID[lateen.TeamID]("team_", c.Now()), Slug: slug, Name: cmp.Or(name, slug), CreatedAt: c.now()}
	p.Team = team.ID
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		owns, err := ownsPlatform(ctx, q, p.User)
		if err != nil {
			return err
		}
		if !owns {
			return lateen.ErrRoleTooLow.With("only owners of the platform's first team can create teams").WithHint("ask an owner of that team to create it")
		}
		if err := team.Validate(); err != nil {
			return err
		}
		return errors.Join(
			q.CreateTeam(ctx, &team),
			q.PutMember(ctx, lateen.Member{Team: team.ID, User: p.User, Role: lateen.Owner}),
			c.recordTeam(ctx, q, p, lateen.ActionTeamCreate, team.Slug))
	})
	if err != nil {
		return nil, err
	}
	return &Membership{Team: team, Role: lateen.Owner}, nil
}

// RenameTeam changes the name of the caller's team. Errors: [lateen.ErrTeamInvalid].
func (c *Control) RenameTeam(ctx context.Context, name string) (*Membership, error) {
	p, err := authorize(ctx, lateen.TeamWrite)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, lateen.ErrTeamInvalid.With("the name of the team is missing")
	}
	var team *lateen.Team
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		if team, err = q.GetTeam(ctx, string(p.Team)); err != nil {
			return err
		}
		team.Name = name
		if err := team.Validate(); err != nil {
			return err
		}
		return errors.Join(q.RenameTeam(ctx, team.ID, name), c.record(ctx, q, p, lateen.ActionTeamUpdate, "", team.Slug))
	})
	if err != nil {
		return nil, err
	}
	return &Membership{Team: *team, Role: p.Role}, nil
}

// recordTeam appends a row to the audit log of the principal's team, and one to that of the
// platform's first team: the log of a removed team has no reader.
func (c *Control) recordTeam(ctx context.Context, q *store.Queries, p lateen.Principal, action lateen.Action, slug string) error {
	if err := c.record(ctx, q, p, action, "", slug); err != nil {
		return err
	}
	first, err := q.FirstTeam(ctx)
	if err != nil {
		return err
	}
	p.Team = first.ID
	return c.record(ctx, q, p, action, "", slug)
}

// DeleteTeam removes the caller's team, which must have no projects. Errors:
// [lateen.ErrTeamNotEmpty]; [lateen.ErrTeamPermanent] for the first team, whose
// members may read the platform's metrics.
func (c *Control) DeleteTeam(ctx context.Context) (*lateen.Team, error) {
	p, err := authorize(ctx, lateen.TeamWrite)
	if err != nil {
		return nil, err
	}
	var team *lateen.Team
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		first, err := q.FirstTeam(ctx)
		if err != nil {
			return err
		}
		if first.ID == p.Team {
			return lateen.ErrTeamPermanent
		}
		if team, err = q.GetTeam(ctx, string(p.Team)); err != nil {
			return err
		}
		if err := q.DeleteTeam(ctx, team.ID); err != nil {
			return err
		}
		return c.recordTeam(ctx, q, p, lateen.ActionTeamDelete, team.Slug)
	})
	return team, err
}

// Username returns the name of a user, "" for a deleted user.
func (c *Control) Username(ctx context.Context, id lateen.UserID) string {
	user, err := c.Store.GetUser(ctx, id)
	if err != nil {
		return ""
	}
	return user.Username
}
