package control

import (
	"context"
	"errors"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/store"
)

const (
	ownerSetting = "owner"  // id of the first user
	touchAfter   = 60 * 1e3 // ms between two notes that a token was used
)

// Account is a user with the teams they are in.
type Account struct {
	User  lateen.User
	Teams []Membership
}

// Membership is a team with the role somebody has in it.
type Membership struct {
	lateen.Team

	Role lateen.Role
}

// Bootstrap makes the first user, their team and a token on a platform that has
// none, and returns the token's secret. created is false where they exist.
func (c *Control) Bootstrap(ctx context.Context) (token string, created bool, err error) {
	now, slug, name := c.Now(), c.Options.Team, "owner"
	if slug == name { // the vercel CLI takes a scope of the user's name for no team
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

// OwnerToken issues another token of the first user, for whoever holds the
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
	return token, c.Store.CreateToken(ctx, row)
}

func (c *Control) newToken(user lateen.UserID, name string) (string, *lateen.Token) {
	token, hash := secret.NewToken()
	return token, &lateen.Token{
		ID: lateen.NewID[lateen.TokenID]("tok_", c.Now()), User: user,
		Name: name, Hash: hash, CreatedAt: c.now(), ActiveAt: c.now(),
	}
}

// Authenticate returns who the bearer of a token is in the team named by id or
// slug; where team is "", in the first of their teams. A token that is unknown
// or has expired is [lateen.ErrTokenInvalid]; a team they are not in,
// [lateen.ErrTeamNotFound].
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
	if now-row.ActiveAt > touchAfter {
		if err := c.Store.TouchToken(ctx, row.ID, now); err != nil {
			c.Log.Warn("the use of a token is not noted", "token_id", row.ID, "err", err) // a full disk locks nobody out
		}
	}
	p := lateen.Principal{User: row.User, Token: row.ID}
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

// WhoAmI returns the user ctx acts as and their teams.
func (c *Control) WhoAmI(ctx context.Context) (*Account, error) {
	p := lateen.PrincipalFrom(ctx)
	if p.User == "" {
		return nil, lateen.ErrTokenMissing
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

// Team returns a team the caller is in, by id or slug.
func (c *Control) Team(ctx context.Context, idOrSlug string) (*Membership, error) {
	p := lateen.PrincipalFrom(ctx)
	if p.User == "" {
		return nil, lateen.ErrTokenMissing
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

// Tokens lists the caller's tokens, without their secrets.
func (c *Control) Tokens(ctx context.Context) ([]*lateen.Token, error) {
	p := lateen.PrincipalFrom(ctx)
	if p.User == "" {
		return nil, lateen.ErrTokenMissing
	}
	return c.Store.ListTokens(ctx, p.User)
}

// CreateToken issues a token that acts as the caller and returns its secret,
// which is not kept.
func (c *Control) CreateToken(ctx context.Context, name string) (string, *lateen.Token, error) {
	p := lateen.PrincipalFrom(ctx)
	if p.User == "" {
		return "", nil, lateen.ErrTokenMissing
	}
	token, row := c.newToken(p.User, name)
	return token, row, c.Store.CreateToken(ctx, row)
}

// RevokeToken ends a token of the caller; "current" is the one ctx acts with.
func (c *Control) RevokeToken(ctx context.Context, id string) error {
	p := lateen.PrincipalFrom(ctx)
	if p.User == "" {
		return lateen.ErrTokenMissing
	}
	if id == "current" {
		id = string(p.Token)
	}
	return c.Store.DeleteToken(ctx, p.User, lateen.TokenID(id))
}

// Username returns the name of a user, "" if they are gone.
func (c *Control) Username(ctx context.Context, id lateen.UserID) string {
	user, err := c.Store.GetUser(ctx, id)
	if err != nil {
		return ""
	}
	return user.Username
}
