package control

import (
	"context"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/store"
)

// TokenRequest describes a token to create.
type TokenRequest struct {
	Name      string        // unique among the caller's tokens
	Scope     lateen.Scope  // "" is full, or project if Project is set
	Project   string        // id or name of the only reachable project; "" is every project
	ExpiresAt lateen.Millis // 0: never
}

func (c *Control) newToken(user lateen.UserID, name string) (string, *lateen.Token) {
	token, hash := secret.NewToken()
	return token, &lateen.Token{
		ID: lateen.NewID[lateen.TokenID]("tok_", c.Now()), User: user, Scope: lateen.ScopeFull,
		Name: name, Hash: hash, CreatedAt: c.now(), ActiveAt: c.now(),
	}
}

// Tokens lists the caller's tokens, without their secrets.
func (c *Control) Tokens(ctx context.Context) ([]*lateen.Token, error) {
	p, err := authorize(ctx, lateen.TokenRead)
	if err != nil {
		return nil, err
	}
	return c.Store.ListTokens(ctx, p.User)
}

// CreateToken issues a token of the caller and returns its secret, which is not
// stored. Errors: [lateen.ErrTokenSettings], [lateen.ErrTokenTaken],
// [lateen.ErrProjectNotFound].
func (c *Control) CreateToken(ctx context.Context, r TokenRequest) (string, *lateen.Token, error) {
	p, err := authorize(ctx, lateen.TokenWrite)
	if err != nil {
		return "", nil, err
	}
	token, row := c.newToken(p.User, r.Name)
	row.ExpiresAt = r.ExpiresAt
	switch {
	case r.Scope != "":
		row.Scope = r.Scope
	case r.Project != "":
		row.Scope = lateen.ScopeProject
	}
	if err := c.checkExpiry(p, row.ExpiresAt); err != nil {
		return "", nil, err
	}
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		if r.Project != "" {
			project, err := projectOfUser(ctx, q, p.User, r.Project)
			if err != nil {
				return err
			}
			row.Project = project.ID
		}
		if err := row.Validate(); err != nil {
			return err
		}
		tokens, err := q.ListTokens(ctx, p.User)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(tokens, func(t *lateen.Token) bool { return t.Name == row.Name }) {
			return lateen.ErrTokenTaken.With("you have a token called %q", row.Name)
		}
		if err := q.CreateToken(ctx, row); err != nil {
			return err
		}
		return c.recordToken(ctx, q, p, lateen.ActionTokenCreate, row, row.Name+" ("+string(row.Scope)+")")
	})
	if err != nil {
		return "", nil, err
	}
	return token, row, nil
}

// checkExpiry refuses an expiry in the past, or later than the expiry of the
// caller's token.
func (c *Control) checkExpiry(p lateen.Principal, at lateen.Millis) error {
	switch {
	case at != 0 && at <= c.now():
		return lateen.ErrTokenSettings.With("the expiry is in the past")
	case p.Until != 0 && (at == 0 || at > p.Until):
		return lateen.ErrTokenSettings.With("the expiry is later than that of the token that creates it, %s", p.Until.Time().UTC().Format(time.RFC3339)).
			WithHint("set an earlier time with --expires, or use a token that expires later")
	}
	return nil
}

// recordToken appends a row to the audit log of each team that a token reaches: the
// team of its project, or else all teams of its user. The user chooses the current
// team of p, so it does not matter.
func (c *Control) recordToken(ctx context.Context, q *store.Queries, p lateen.Principal, action lateen.Action, t *lateen.Token, target string) error {
	if t.Project != "" {
		project, err := q.FindProject(ctx, t.Project)
		if err == nil {
			p.Team = project.Team
		}
		if err == nil || lateen.CodeOf(err) == lateen.NotFound { // deleted project: the row goes to the current team
			return c.record(ctx, q, p, action, t.Project, target)
		}
		return err
	}
	teams, err := q.ListTeams(ctx, t.User)
	if err != nil {
		return err
	}
	if len(teams) == 0 {
		return c.record(ctx, q, p, action, "", target)
	}
	for _, team := range teams {
		p.Team = team.ID
		if err := c.record(ctx, q, p, action, "", target); err != nil {
			return err
		}
	}
	return nil
}

// projectOfUser returns a project in one of a user's teams.
func projectOfUser(ctx context.Context, q *store.Queries, user lateen.UserID, idOrName string) (*lateen.Project, error) {
	teams, err := q.ListTeams(ctx, user)
	if err != nil {
		return nil, err
	}
	for _, team := range teams {
		project, err := q.GetProject(ctx, team.ID, idOrName)
		if lateen.CodeOf(err) != lateen.NotFound {
			return project, err
		}
	}
	return nil, lateen.ErrProjectNotFound.With("project %q not found", idOrName)
}

// RevokeToken removes a token of the caller by id. Errors:
// [lateen.ErrTokenNotFound].
func (c *Control) RevokeToken(ctx context.Context, id lateen.TokenID) error {
	return c.revoke(ctx, lateen.TokenWrite, id)
}

// RevokeCurrent removes the token of ctx, of any scope.
func (c *Control) RevokeCurrent(ctx context.Context) error {
	return c.revoke(ctx, lateen.Identity, lateen.PrincipalFrom(ctx).Token)
}

func (c *Control) revoke(ctx context.Context, need lateen.Permission, id lateen.TokenID) error {
	p, err := authorize(ctx, need)
	if err != nil {
		return err
	}
	return c.Store.Update(ctx, func(q *store.Queries) error {
		tokens, err := q.ListTokens(ctx, p.User)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(tokens, func(t *lateen.Token) bool { return t.ID == id })
		if i < 0 {
			return lateen.ErrTokenNotFound
		}
		if err := c.recordToken(ctx, q, p, lateen.ActionTokenRevoke, tokens[i], tokens[i].Name); err != nil {
			return err
		}
		return q.DeleteToken(ctx, p.User, id)
	})
}
