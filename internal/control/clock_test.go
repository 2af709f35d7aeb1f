package control_test

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/store"
)

// The members of the first team read the metrics, which name the projects of every
// team, and the first team is permanent (docs/how-to/teams.md). A team that is
// made while the host's clock is behind is none the less a later one.
func TestTheFirstTeamStaysFirstAfterTheClockIsSetBack(t *testing.T) {
	var at clock
	c := newTester(t, func(o *control.Options) { o.Now = at.now })
	at.forward(-time.Hour)
	later, err := c.CreateTeam(c.ctx, "later", "")
	if err != nil {
		t.Fatal(err)
	}
	mallory := c.Member(t, "mallory", "later", lateen.Owner)
	if err := c.MayReadMetrics(t.Context(), mallory); err == nil {
		t.Error("a member of a later team reads the metrics of the platform")
	}
	if err := c.MayReadMetrics(t.Context(), c.Token); err != nil {
		t.Errorf("a member of the first team does not read the metrics: %v", err)
	}
	p, err := c.Authenticate(t.Context(), c.Token, "")
	if err != nil || p.Team == later.ID {
		t.Errorf("a token without a team acts in the later team: %+v, %v", p, err)
	}
	_, err = c.DeleteTeam(c.ctx)
	wants(t, err, lateen.ErrTeamPermanent)
}

// A token whose caller names no team acts in the team that its user was in first:
// a further membership does not move what a pipeline deploys.
func TestAFurtherMembershipMovesNoTokenWithoutATeam(t *testing.T) {
	c := newTester(t)
	if _, err := c.CreateTeam(c.ctx, "later", ""); err != nil {
		t.Fatal(err)
	}
	bob := c.Member(t, "bob", "later", lateen.Developer)
	before, err := c.Authenticate(t.Context(), bob, "")
	if err != nil {
		t.Fatal(err)
	}
	invitation, _, err := c.Invite(c.ctx, "bob@example.com", lateen.Developer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Join(c.As(t, bob), invitation); err != nil {
		t.Fatal(err)
	}
	after, err := c.Authenticate(t.Context(), bob, "")
	if err != nil || after.Team != before.Team {
		t.Errorf("the token acts in %s after the user joined %s, and in %s before: %v", after.Team, after.Team, before.Team, err)
	}
}

// Lists say newest first, and `lateen rollback` without a target takes the first
// that they say was made before the one in production.
func TestDeploymentsAreListedAsTheyWereAcceptedAfterTheClockIsSetBack(t *testing.T) {
	var at clock
	c := start(t, func(o *control.Options) { o.Now = at.now })
	one := c.deploy("one", "production")
	at.forward(-time.Hour)
	two, three := c.deploy("two", "production"), c.deploy("three", "production")
	var got []lateen.DeploymentID
	until := lateen.Millis(0)
	for range 3 { // pages of one
		page, err := c.Deployments(c.ctx, store.DeploymentFilter{Project: one.Project, Target: lateen.Production, Until: until, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			got, until = append(got, d.ID), d.CreatedAt
		}
	}
	want := []lateen.DeploymentID{three.ID, two.ID, one.ID}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("the list is %v, want %v", got, want)
	}
	site, err := c.Site(t.Context(), three.ID)
	if err != nil || site.CreatedAt > lateen.MillisOf(at.now()) {
		t.Errorf("the pages of the build are from %v, in the future: %v", site.CreatedAt.Time(), err)
	}
}

// The pause of a deployment during whose assembly the platform stopped again and
// again is counted in minutes, also where the clock was set back since.
func TestAnInterruptedDeploymentIsTriedAgainAfterTheClockIsSetBack(t *testing.T) {
	var at clock
	c := newTester(t, func(o *control.Options) { o.Now = at.now })
	d := c.accept("page", "production")
	c.interrupted(d, 4)
	at.forward(-24 * time.Hour)
	c.Start(t)
	if d := c.await(d.ID); d.State != lateen.Ready {
		t.Errorf("the deployment is %s", d.State)
	}
}
