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
	Scope     lateen.Scope  // "" is full, or project where Project is given
	Project   string        // id or name of the only project that it reaches; "" is every project
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
	p, err := act(ctx, lateen.TokenRead)
	if err != nil {
		return nil, err
	}
	return c.Store.ListTokens(ctx, p.User)
}

// CreateToken issues a token that acts as the caller and returns its secret,
// which is not kept. Errors: [lateen.ErrTokenSettings], [lateen.ErrTokenTaken],
// [lateen.ErrProjectNotFound].
func (c *Control) CreateToken(ctx context.Context, r TokenRequest) (string, *lateen.Token, error) {
	p, err := act(ctx, lateen.TokenWrite)
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

// checkExpiry refuses an expiry that is past, or later than that of the caller's token.
func (c *Control) checkExpiry(p lateen.Principal, at lateen.Millis) error {
	switch {
	case at != 0 && at <= c.now():
		return lateen.ErrTokenSettings.With("the token would have expired already")
	case p.Until != 0 && (at == 0 || at > p.Until):
		return lateen.ErrTokenSettings.With("the token would outlive the one that creates it, which expires at %s", p.Until.Time().UTC().Format(time.RFC3339)).
			WithHint("name an earlier time with --expires, or act with a token that lives longer")
	}
	return nil
}

// recordToken appends a row to the audit log of each team that a token reaches:
// that of its project, or else all of its user's. The team that p acts in does not
// matter, which the user chose.
func (c *Control) recordToken(ctx context.Context, q *store.Queries, p lateen.Principal, action lateen.Action, t *lateen.Token, target string) error {
	if t.Project != "" {
		project, err := q.FindProject(ctx, t.Project)
		if err == nil {
			p.Team = project.Team
		}
		if err == nil || lateen.CodeOf(err) == lateen.NotFound { // it is gone: the row is kept of the team that is named
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

// projectOfUser returns a project of one of a user's teams.
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
	return nil, lateen.ErrProjectNotFound.With("there is no project %q", idOrName)
}

// RevokeToken ends a token of the caller by id. Errors: [lateen.ErrTokenNotFound].
func (c *Control) RevokeToken(ctx context.Context, id lateen.TokenID) error {
	return c.revoke(ctx, lateen.TokenWrite, id)
}

// RevokeCurrent ends the token that ctx acts with, whatever its scope.
func (c *Control) RevokeCurrent(ctx context.Context) error {
	return c.revoke(ctx, lateen.Identity, lateen.PrincipalFrom(ctx).Token)
}

func (c *Control) revoke(ctx context.Context, need lateen.Permission, id lateen.TokenID) error {
	p, err := act(ctx, need)
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
