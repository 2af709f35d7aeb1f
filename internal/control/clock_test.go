package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/store"
)

// The members of the first team read the metrics, which name the projects of every
// team, and the first team is permanent (docs/how-to/teams.md). A team created while
// the host's clock is behind is still a later one.
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

// A request without a team acts in the team that the token's user joined first: a
// further membership does not change the team to which a pipeline deploys.
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

// Lists are newest first, and `lateen rollback` without a target takes the first
// listed deployment before the one in production.
func TestDeploymentsAreListedAsTheyWereAcceptedAfterTheClockIsSetBack(t *testing.T) {
	var at clock
	c := start(t, func(o *control.Options) { o.Now = at.now })
	one := c.deploy("one", "production")
	at.forward(-time.Hour)
	two, three := c.deploy("two", "production"), c.deploy("three", "production")
	var got []lateen.DeploymentID
	until := lateen.Millis(0)
	for range 3 { // pages of one row
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

// The delay of a deployment whose assembly was interrupted repeatedly is a few
// minutes, also after the clock was set back.
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

// The artifacts of an assembly are unreferenced until it ends, and uploaded files
// are unreferenced until the client requests the deployment.
func TestNothingIsSweptAfterTheClockIsSetForward(t *testing.T) {
	var at clock
	c := newTester(t, func(o *control.Options) {
		began := time.Now()
		o.Now, o.Uptime = at.now, func() time.Duration { return time.Since(began) }
	})
	content := `{"version":3}`
	files := []lateen.UploadFile{{Path: ".vercel/output/config.json", SHA1: sha(content)}}
	if err := c.Upload(c.ctx, files[0].SHA1, -1, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Artifacts.Put(t.Context(), strings.NewReader("of an assembly"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sweep(t.Context()); err != nil { // records both
		t.Fatal(err)
	}
	at.forward(25 * time.Hour)
	if _, err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !c.has("of an assembly") {
		t.Error("the artifact of an assembly was swept")
	}
	if _, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: files}); err != nil {
		t.Errorf("a new upload was deleted: %v", err)
	}
}
