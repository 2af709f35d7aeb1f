package control_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/store"
)

// audited returns the rows of the audit log of a principal's team, newest first, as
// action and target.
func (c *tester) audited(p lateen.Principal) []string {
	c.t.Helper()
	rows, err := c.Store.ListAudit(c.t.Context(), store.AuditFilter{Team: p.Team})
	if err != nil {
		c.t.Fatal(err)
	}
	var out []string
	for _, row := range rows {
		out = append(out, string(row.Action)+" "+row.Target)
	}
	return out
}

// A token without a project acts in every team of its user. The owners of each team
// therefore see its creation and its removal in their audit log,
// independent of the current team.
func TestTheAuditLogOfEveryTeamHasTheTokensThatReachIt(t *testing.T) {
	c := newTester(t)
	bob := c.Member(t, "bob", "elsewhere", lateen.Owner)
	of := c.As(t, bob)
	invitation, _, err := c.Invite(c.ctx, "bob@example.com", lateen.Developer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Join(of, invitation); err != nil {
		t.Fatal(err)
	}
	_, token, err := c.CreateToken(of, control.TokenRequest{Name: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RevokeToken(of, token.ID); err != nil {
		t.Fatal(err)
	}
	for _, ctx := range []lateen.Principal{lateen.PrincipalFrom(c.ctx), lateen.PrincipalFrom(of)} {
		rows := strings.Join(c.audited(ctx), "\n")
		for _, want := range []string{"token.create quiet (full)", "token.revoke quiet"} {
			if strings.Count(rows, want) != 1 {
				t.Errorf("the audit log of %s does not have %q once:\n%s", ctx.Team, want, rows)
			}
		}
	}
}

func TestTheAuditLogOfTheFirstTeamHasTheTeamsOfThePlatform(t *testing.T) {
	c := newTester(t)
	team, err := c.CreateTeam(c.ctx, "acme", "")
	if err != nil {
		t.Fatal(err)
	}
	first := lateen.PrincipalFrom(c.ctx)
	own := first
	own.Team = team.ID
	if got := strings.Join(c.audited(own), "\n"); got != "team.create acme" {
		t.Errorf("the audit log of the new team has\n%s", got)
	}
	if _, err := c.DeleteTeam(lateen.WithPrincipal(c.ctx, own)); err != nil {
		t.Fatal(err)
	}
	rows := c.audited(first)
	slices.Sort(rows) // those of one millisecond have no order
	if !slices.Equal(rows, []string{"team.create acme", "team.delete acme"}) {
		t.Errorf("the audit log of the first team has %q", rows)
	}
}

// A change to the type plain shows the value to every member, so it counts as a read
// of the secret too.
func TestMakingASecretReadableIsAReadOfIt(t *testing.T) {
	c := withProject(t)
	v := c.env("API_KEY", "s3cret", lateen.EnvEncrypted, lateen.Production)
	got, err := c.UpdateEnv(c.ctx, "shop", v.ID, func(v *lateen.EnvVar) error { v.Type = lateen.EnvPlain; return nil })
	if err != nil || got.Value != "s3cret" {
		t.Fatalf("%+v, %v", got, err)
	}
	rows := strings.Join(c.audited(lateen.PrincipalFrom(c.ctx)), "\n")
	if !strings.Contains(rows, "env.read API_KEY") {
		t.Errorf("the audit log has no row about the read of the value:\n%s", rows)
	}
	other := c.env("OTHER", "one", lateen.EnvEncrypted, lateen.Production)
	change := func(v *lateen.EnvVar) error { v.Type, v.Value = lateen.EnvPlain, "two"; return nil }
	if _, err := c.UpdateEnv(c.ctx, "shop", other.ID, change); err != nil {
		t.Fatal(err)
	}
	if rows := strings.Join(c.audited(lateen.PrincipalFrom(c.ctx)), "\n"); strings.Contains(rows, "env.read OTHER") {
		t.Errorf("a new value counts as a read of the old one:\n%s", rows)
	}
}
