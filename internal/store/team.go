package store

import (
	"context"

	"github.com/lateen-dev/lateen"
)

// CreateUser adds a user. Errors: [lateen.ErrUserTaken].
func (q *Queries) CreateUser(ctx context.Context, u *lateen.User) error {
	return q.exec(ctx, meaning{taken: lateen.ErrUserTaken},
		`INSERT INTO users (id, username, email, name, created_at) VALUES (?, ?, ?, ?, ?)`,
		u.ID, u.Username, u.Email, u.Name, u.CreatedAt)
}

// GetUser returns a user by id. Errors: [lateen.ErrUserNotFound].
func (q *Queries) GetUser(ctx context.Context, id lateen.UserID) (*lateen.User, error) {
	return one(ctx, q, lateen.ErrUserNotFound, scanUser, selectUser+` WHERE id = ?`, id)
}

// GetUserByName returns a user by username. Errors: [lateen.ErrUserNotFound].
func (q *Queries) GetUserByName(ctx context.Context, username string) (*lateen.User, error) {
	return one(ctx, q, lateen.ErrUserNotFound, scanUser, selectUser+` WHERE username = ?`, username)
}

const selectUser = `SELECT id, username, email, name, created_at FROM users`

func scanUser(r row) (*lateen.User, error) {
	u := &lateen.User{}
	return u, r.Scan(&u.ID, &u.Username, &u.Email, &u.Name, &u.CreatedAt)
}

// CreateTeam adds a team. Errors: [lateen.ErrTeamTaken].
func (q *Queries) CreateTeam(ctx context.Context, t *lateen.Team) error {
	return q.exec(ctx, meaning{taken: lateen.ErrTeamTaken},
		`INSERT INTO teams (id, slug, name, created_at, serial) VALUES (?, ?, ?, ?, (SELECT COALESCE(MAX(serial), 0) + 1 FROM teams))`,
		t.ID, t.Slug, t.Name, t.CreatedAt)
}

// GetTeam returns a team by id or slug. Errors: [lateen.ErrTeamNotFound].
func (q *Queries) GetTeam(ctx context.Context, idOrSlug string) (*lateen.Team, error) {
	return one(ctx, q, lateen.ErrTeamNotFound, scanTeam, selectTeam+` WHERE id = ? OR slug = ?`, idOrSlug, idOrSlug)
}

// ListTeams returns the teams of a user in the order of joining.
func (q *Queries) ListTeams(ctx context.Context, user lateen.UserID) ([]*lateen.Team, error) {
	return list(ctx, q, scanTeam,
		`SELECT id, slug, name, created_at FROM teams JOIN members ON members.team_id = teams.id WHERE user_id = ?
		 ORDER BY members.serial, teams.serial`, user)
}

// FirstTeam returns the team that was created first, at the first start of the
// platform. Errors: [lateen.ErrTeamNotFound].
func (q *Queries) FirstTeam(ctx context.Context) (*lateen.Team, error) {
	return one(ctx, q, lateen.ErrTeamNotFound, scanTeam, selectTeam+` ORDER BY serial LIMIT 1`)
}

// RenameTeam changes the name of a team. Errors: [lateen.ErrTeamNotFound].
func (q *Queries) RenameTeam(ctx context.Context, id lateen.TeamID, name string) error {
	return q.exec(ctx, meaning{missing: lateen.ErrTeamNotFound}, `UPDATE teams SET name = ? WHERE id = ?`, name, id)
}

// DeleteTeam removes a team with its members, invitations and uploads. The content
// of the uploads becomes a candidate of the next sweep. Errors:
// [lateen.ErrTeamNotFound], [lateen.ErrTeamNotEmpty] if it has projects.
func (q *Queries) DeleteTeam(ctx context.Context, id lateen.TeamID) error {
	return q.write(ctx, func(q *Queries) error {
		_, err := q.execAny(ctx, meaning{}, `INSERT INTO sweep_candidates (kind, name, noted_at)
			SELECT '`+SweepContent+`', digest, 0 FROM uploads WHERE team_id = ? ON CONFLICT DO NOTHING`, id)
		if err != nil {
			return err
		}
		return q.exec(ctx, meaning{missing: lateen.ErrTeamNotFound, dangling: lateen.ErrTeamNotEmpty}, `DELETE FROM teams WHERE id = ?`, id)
	})
}

const selectTeam = `SELECT id, slug, name, created_at FROM teams`

func scanTeam(r row) (*lateen.Team, error) {
	t := &lateen.Team{}
	return t, r.Scan(&t.ID, &t.Slug, &t.Name, &t.CreatedAt)
}

// PutMember adds a user to a team, or changes the role of a member. Errors:
// [lateen.ErrUserNotFound] if the user or the team does not exist.
func (q *Queries) PutMember(ctx context.Context, m lateen.Member) error {
	return q.exec(ctx, meaning{dangling: lateen.ErrUserNotFound},
		`INSERT INTO members (team_id, user_id, role, serial)
		 VALUES (?, ?, ?, (SELECT COALESCE(MAX(serial), 0) + 1 FROM members WHERE user_id = ?))
		 ON CONFLICT (team_id, user_id) DO UPDATE SET role = excluded.role`, m.Team, m.User, m.Role, m.User)
}

// GetMember returns a user's membership of a team. Errors: [lateen.ErrTeamNotFound],
// as a team is hidden from users outside it.
func (q *Queries) GetMember(ctx context.Context, team lateen.TeamID, user lateen.UserID) (lateen.Member, error) {
	return one(ctx, q, lateen.ErrTeamNotFound, scanMember, selectMember+` WHERE team_id = ? AND user_id = ?`, team, user)
}

// ListMembers returns the members of a team by user id.
func (q *Queries) ListMembers(ctx context.Context, team lateen.TeamID) ([]lateen.Member, error) {
	return list(ctx, q, scanMember, selectMember+` WHERE team_id = ? ORDER BY user_id`, team)
}

// DeleteMember removes a user from a team. Errors: [lateen.ErrMemberNotFound].
func (q *Queries) DeleteMember(ctx context.Context, team lateen.TeamID, user lateen.UserID) error {
	return q.exec(ctx, meaning{missing: lateen.ErrMemberNotFound}, `DELETE FROM members WHERE team_id = ? AND user_id = ?`, team, user)
}

const selectMember = `SELECT team_id, user_id, role FROM members`

func scanMember(r row) (lateen.Member, error) {
	var m lateen.Member
	err := r.Scan(&m.Team, &m.User, &m.Role)
	return m, err
}
