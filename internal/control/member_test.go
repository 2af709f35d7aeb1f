package control_test

import (
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestInvitationsAreRevokedWithTheRightToInvite(t *testing.T) {
	c := newTester(t)
	for name, revokeRight := range map[string]func() error{
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
		if err := revokeRight(); err != nil {
			t.Fatal(err)
		}
		_, _, _, err = c.SignUp(t.Context(), invitation, "", "")
		wants(t, err, lateen.ErrInvitationInvalid)
		if _, _, _, err = c.SignUp(t.Context(), other, "", ""); err != nil {
			t.Errorf("the invitation of another owner is revoked: %v", err)
		}
		rows := strings.Join(c.audited(lateen.PrincipalFrom(c.ctx)), "\n")
		if !strings.Contains(rows, "invitation.revoke "+name+"@example.com") {
			t.Errorf("the audit log has no row about the invitation:\n%s", rows)
		}
	}
}

// Each team has a share of the storage, the uploads and the assemblies
// (docs/how-to/tenants.md), so a tenant with more teams would have more shares.
func TestOwnersOfOtherTeamsThanTheFirstCannotCreateTeams(t *testing.T) {
	c := newTester(t)
	eve := c.As(t, c.Member(t, "eve", "rivals", lateen.Owner))
	_, err := c.CreateTeam(eve, "rivals-2", "")
	wants(t, err, lateen.ErrRoleTooLow)
	if _, err := c.CreateTeam(c.ctx, "friends", ""); err != nil {
		t.Error(err)
	}
}

// The role in the first team decides (docs/how-to/teams.md), also if the team of the
// request, which `lateen teams switch` selects, is another one.
func TestAnOwnerOfTheFirstTeamCreatesTeamsInRequestsForAnotherTeam(t *testing.T) {
	c := newTester(t)
	token := c.Member(t, "ann", "acme", lateen.Viewer)
	invitation, _, err := c.Invite(c.ctx, "ann@example.com", lateen.Owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Join(c.As(t, token), invitation); err != nil {
		t.Fatal(err)
	}
	ann := c.As(t, token)
	if p := lateen.PrincipalFrom(ann); p.Role != lateen.Viewer {
		t.Fatalf("the role in the request is %s, want the role in ann's own team", p.Role)
	}
	if _, err := c.CreateTeam(ann, "friends", ""); err != nil {
		t.Error(err)
	}
	alone := lateen.WithPrincipal(t.Context(), lateen.Principal{User: "usr_alone", Scope: lateen.ScopeFull})
	_, err = c.CreateTeam(alone, "alone", "")
	wants(t, err, lateen.ErrRoleTooLow)
}
