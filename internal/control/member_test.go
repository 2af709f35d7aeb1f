package control_test

import (
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// The invitations of a user that may no longer invite are revoked.
func TestInvitationsEndWithTheRightToInvite(t *testing.T) {
	c := newTester(t)
	for name, end := range map[string]func() error{
		"removed": func() error { _, err := c.RemoveMember(c.ctx, "removed"); return err },
		"demoted": func() error { _, err := c.ChangeRole(c.ctx, "demoted", lateen.Developer); return err },
	} {
		token := c.Member(t, name, "team", lateen.Owner)
		invitation, _, err := c.Invite(c.As(t, token), name+"@example.com", lateen.Owner)
		if err != nil {
			t.Fatal(err)
		}
		other, _, err := c.Invite(c.ctx, "else-"+name+"@example.com", lateen.Viewer)
		if err != nil {
			t.Fatal(err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		_, _, _, err = c.SignUp(t.Context(), invitation, "", "")
		wants(t, err, lateen.ErrInvitationInvalid)
		if _, _, _, err = c.SignUp(t.Context(), other, "", ""); err != nil {
			t.Errorf("the invitation of another owner ended too: %v", err)
		}
		rows := strings.Join(c.audited(lateen.PrincipalFrom(c.ctx)), "\n")
		if !strings.Contains(rows, "invitation.revoke "+name+"@example.com") {
			t.Errorf("the audit log has no row about the invitation:\n%s", rows)
		}
	}
}

// Each team has a share of the storage, the uploads and the assemblies
// (docs/how-to/tenants.md): a user that could create teams would have as many
// shares.
func TestAnOwnerOfALaterTeamCreatesNoTeams(t *testing.T) {
	c := newTester(t)
	eve := c.As(t, c.Member(t, "eve", "rivals", lateen.Owner))
	_, err := c.CreateTeam(eve, "rivals-2", "")
	wants(t, err, lateen.ErrRoleTooLow)
	if _, err := c.CreateTeam(c.ctx, "friends", ""); err != nil {
		t.Error(err)
	}
}

// The role in the first team decides, independent of the team of the commands
// (docs/how-to/teams.md): a request names the team of `lateen teams switch`.
func TestAnOwnerOfTheFirstTeamCreatesTeamsWhileActingForAnother(t *testing.T) {
	c := newTester(t)
	token := c.Member(t, "ann", "acme", lateen.Viewer)
	invitation, _, err := c.Invite(c.ctx, "ann@example.com", lateen.Owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Join(c.As(t, token), invitation); err != nil {
		t.Fatal(err)
	}
	acting := c.As(t, token)
	if p := lateen.PrincipalFrom(acting); p.Role != lateen.Viewer {
		t.Fatalf("ann acts as %s, want the role in the team that she was in first", p.Role)
	}
	if _, err := c.CreateTeam(acting, "friends", ""); err != nil {
		t.Error(err)
	}
	alone := lateen.WithPrincipal(t.Context(), lateen.Principal{User: "usr_alone", Scope: lateen.ScopeFull})
	_, err = c.CreateTeam(alone, "alone", "")
	wants(t, err, lateen.ErrRoleTooLow)
}
