package control_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/store"
)

func TestRollbackPinsUntilAPromotion(t *testing.T) {
	c := start(t)
	first := c.deploy("one", "production")
	second := c.deploy("two", "production")
	produces := func(d *lateen.Deployment) {
		t.Helper()
		if got := c.Traffic.Produced(d.Project); got != d.ID {
			t.Errorf("the production deployment is %s, want %s", got, d.ID)
		}
	}
	produces(second)
	if _, err := c.Rollback(c.ctx, "shop", first.Host); err != nil {
		t.Fatal(err)
	}
	c.leads("shop.localhost", first)
	produces(first)
	p, err := c.Project(c.ctx, "shop")
	if err != nil || !p.PinnedByRollback || p.Production != first.ID {
		t.Fatalf("the project is %+v, %v", p, err)
	}
	if r := p.LastAliasRequest; r.Type != "rollback" || r.JobStatus != "succeeded" || r.From != second.ID || r.To != first.ID {
		t.Errorf("the request is %+v", r)
	}
	third := c.deploy("three", "production")
	c.leads("shop.localhost", first)
	c.leads(third.Host, third)
	produces(first)
	if _, err := c.Promote(c.ctx, "shop", string(third.ID)); err != nil {
		t.Fatal(err)
	}
	c.leads("shop.localhost", third)
	produces(third)
	if all, err := c.Productions(t.Context()); err != nil || len(all) != 1 || all[third.Project] != third.ID {
		t.Errorf("the production deployments at startup are %v, %v", all, err)
	}
	fourth := c.deploy("four", "production")
	c.leads("shop.localhost", fourth)
}

// The latest accepted deployment takes over, independent of the host's clock at that
// time.
func TestTheLatestDeploymentTakesOverAfterTheClockIsSetBack(t *testing.T) {
	var at clock
	c := start(t, func(o *control.Options) { o.Now = at.now })
	branch := func(r *control.DeployRequest) { r.Git = &lateen.GitMetadata{CommitRef: "main"} }
	c.leads("shop.localhost", c.deploy("one", "production"))
	c.leads("shop-git-main-team.localhost", c.deploy("two", "preview", branch))
	at.forward(-time.Hour)
	c.leads("shop.localhost", c.deploy("three", "production"))
	c.leads("shop-git-main-team.localhost", c.deploy("four", "preview", branch))
}

// A pin keeps later deployments from replacing the pinned one: it has no purpose
// without that deployment.
func TestThePinOfARollbackEndsWithItsDeployment(t *testing.T) {
	c := start(t)
	first := c.deploy("one", "production")
	c.deploy("two", "production")
	if _, err := c.Rollback(c.ctx, "shop", first.Host); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteDeployment(c.ctx, first.Host, false); err != nil {
		t.Fatal(err)
	}
	c.leads("shop.localhost", nil)
	if p, err := c.Project(c.ctx, "shop"); err != nil || p.PinnedByRollback {
		t.Errorf("after the deletion the project is %+v, %v; want no pin", p, err)
	}
	c.leads("shop.localhost", c.deploy("three", "production"))
	c.leads("shop.localhost", c.deploy("four", "production"))
}

func TestARenamedProjectKeepsThePinOfItsRollback(t *testing.T) {
	c := start(t)
	first := c.deploy("one", "production")
	c.deploy("two", "production")
	if _, err := c.Rollback(c.ctx, "shop", first.Host); err != nil {
		t.Fatal(err)
	}
	p, err := c.UpdateProject(c.ctx, "shop", func(p *lateen.Project) error { p.Name = "store"; return nil })
	if err != nil || !p.PinnedByRollback {
		t.Errorf("the renamed project is %+v, %v; want its pin", p, err)
	}
	c.leads("store.localhost", first)
}

// A pending request fails with its deployment. A successful one is unchanged, as the
// project's history.
func TestADeletedDeploymentEndsThePromotionThatWaitsForIt(t *testing.T) {
	g := newGate()
	c := start(t, g.with)
	for range 2 {
		g.open <- struct{}{}
	}
	c.deploy("one", "production")
	preview := c.deploy("two", "preview")
	promoted, err := c.Promote(c.ctx, "shop", string(preview.ID))
	if err != nil {
		t.Fatal(err)
	}
	status := func() string {
		p, err := c.Project(c.ctx, "shop")
		if err != nil {
			t.Fatal(err)
		}
		return p.LastAliasRequest.JobStatus
	}
	if got := status(); got != "pending" {
		t.Errorf("the request of a promotion that builds is %s, want pending", got)
	}
	if _, err := c.DeleteDeployment(c.ctx, string(promoted.ID), false); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != "failed" {
		t.Errorf("the request for a deleted deployment is %s, want failed", got)
	}
	close(g.open)
}

func TestPromotingAPreviewDeploysItForProduction(t *testing.T) {
	c := start(t)
	first := c.deploy("one", "production")
	preview := c.deploy("two", "preview")
	if _, err := c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: "ONLY", Value: "production", Type: "plain", Target: []lateen.Environment{"production"}}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rollback(c.ctx, "shop", string(first.ID)); err != nil {
		t.Fatal(err)
	}
	d, err := c.Promote(c.ctx, "shop", string(preview.ID))
	if err != nil || d.ID == preview.ID || d.Target != "production" {
		t.Fatalf("the deployment is %+v, %v", d, err)
	}
	d = c.await(d.ID)
	c.leads("shop.localhost", d)
	site, err := c.Site(t.Context(), d.ID)
	if err != nil || site.Env["ONLY"] != "production" || site.Env["VERCEL_ENV"] != "production" {
		t.Errorf("its environment is %v, %v", site.Env, err)
	}
	p, err := c.Project(c.ctx, "shop")
	if err != nil || p.PinnedByRollback || p.LastAliasRequest.JobStatus != "succeeded" {
		t.Errorf("the project is %+v, %v", p, err)
	}
}

// The latest request wins: a slow promotion gives way to a later rollback.
func TestARollbackOvertakesAPromotion(t *testing.T) {
	g := newGate()
	c := start(t, g.with)
	for range 3 {
		g.open <- struct{}{}
	}
	first := c.deploy("one", "production")
	c.deploy("two", "production")
	preview := c.deploy("three", "preview")
	promoted, err := c.Promote(c.ctx, "shop", string(preview.ID))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rollback(c.ctx, "shop", string(first.ID)); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	c.await(promoted.ID)
	c.leads("shop.localhost", first)
}

func TestPromoteRefuses(t *testing.T) {
	g := newGate()
	c := start(t, g.with)
	g.open <- struct{}{}
	ready := c.deploy("one", "production")
	g.open <- struct{}{}
	shown := c.deploy("shown", "preview")
	waiting := c.accept("two", "production")
	preview := c.accept("three", "preview")
	other := c.accept("other", "production", project("other"))
	for name, tt := range map[string]struct {
		err, want error
	}{
		"one that is not ready":       {second(c.Promote(c.ctx, "shop", string(waiting.ID))), lateen.ErrDeploymentNotReady},
		"a preview that is not ready": {second(c.Promote(c.ctx, "shop", string(preview.ID))), lateen.ErrDeploymentNotReady},
		"back to one not ready":       {second(c.Rollback(c.ctx, "shop", string(other.ID))), lateen.ErrDeploymentNotFound},
		"of another project":          {second(c.Promote(c.ctx, "other", string(ready.ID))), lateen.ErrDeploymentNotFound},
		"a preview of another":        {second(c.Promote(c.ctx, "other", string(shown.ID))), lateen.ErrDeploymentNotFound},
		"back to a preview":           {second(c.Rollback(c.ctx, "shop", string(preview.ID))), lateen.ErrRollbackTarget},
		"in no project":               {second(c.Promote(c.ctx, "nowhere", string(ready.ID))), lateen.ErrProjectNotFound},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.err, tt.want)
		}
	}
	close(g.open)
}

func TestAStagedDeploymentWaits(t *testing.T) {
	c := start(t)
	first := c.deploy("one", "production")
	staged := c.deploy("two", "production", func(r *control.DeployRequest) { r.SkipAliases = true })
	c.leads("shop.localhost", first)
	c.leads(staged.Host, staged)
	if d, err := c.Promote(c.ctx, "shop", string(staged.ID)); err != nil || d.ID != staged.ID {
		t.Fatalf("promoted %+v, %v", d, err)
	}
	c.leads("shop.localhost", staged)
}

func TestAliases(t *testing.T) {
	c := start(t)
	one := c.deploy("one", "")
	two := c.deploy("two", "preview")
	alias, previous, err := c.SetAlias(c.ctx, two.Host, "https://WWW.Example.com/", "")
	if err != nil || previous != "" || alias.Host != "www.example.com" {
		t.Fatalf("the alias is %+v, before %q, %v", alias, previous, err)
	}
	c.leads("www.example.com", two)
	moved, previous, err := c.SetAlias(c.ctx, string(one.ID), "www.example.com", "")
	if err != nil || previous != two.ID || moved.ID != alias.ID {
		t.Errorf("the alias is %+v, before %q, %v", moved, previous, err)
	}
	c.leads("www.example.com", one)
	short, _, err := c.SetAlias(c.ctx, string(two.ID), "sale", "")
	if err != nil || short.Host != "sale.localhost" {
		t.Errorf("the alias is %+v, %v", short, err)
	}
	if d, err := c.Deployment(c.ctx, "WWW.example.com.:8080"); err != nil || d.ID != one.ID {
		t.Errorf("the alias finds %+v, %v", d, err)
	}
	all, err := c.Aliases(c.ctx, store.AliasFilter{})
	if err != nil || len(all) != 4 {
		t.Errorf("%d aliases, %v", len(all), err)
	}
	if _, err := c.RemoveAlias(c.ctx, "www.example.com"); err != nil {
		t.Fatal(err)
	}
	c.leads("www.example.com", nil)
	_, err = c.RemoveAlias(c.ctx, "www.example.com")
	wants(t, err, lateen.ErrAliasNotFound)
}

func TestARedirectOfAHostStaysWhenProductionMoves(t *testing.T) {
	c := start(t)
	one := c.deploy("one", "production")
	alias, _, err := c.SetAlias(c.ctx, string(one.ID), "shop", "https://www.example.com/")
	if err != nil || alias.Redirect != "www.example.com" {
		t.Fatalf("the alias is %+v, %v", alias, err)
	}
	two := c.deploy("two", "production")
	want := lateen.Binding{Deployment: two.ID, Redirect: "www.example.com"}
	bound := c.Traffic.Events(lateen.HostBound)
	i := slices.IndexFunc(bound, func(e lateen.Event) bool { return e.Subject == "shop.localhost" && e.Deployment == two.ID })
	if i < 0 || bound[i].Binding != want {
		t.Errorf("the events bind %+v, want %+v", bound, want)
	}
	hosts, err := c.Hosts(c.ctx)
	if err != nil || hosts["shop.localhost"] != want || hosts[two.Host].Redirect != "" {
		t.Errorf("the hosts are %v, %v", hosts, err)
	}
	alias, _, err = c.SetAlias(c.ctx, string(two.ID), "shop", "")
	if err != nil || alias.Redirect != "" {
		t.Errorf("without a redirect, the alias is %+v, %v", alias, err)
	}
}

func TestInvalidRedirectsOfHostsAreRefused(t *testing.T) {
	c := start(t)
	d := c.deploy("one", "")
	for _, to := range []string{"sale", "SALE.localhost.", "https://example.com/path", "a b", "example.com:80", "user@example.com"} {
		_, _, err := c.SetAlias(c.ctx, string(d.ID), "sale", to)
		wants(t, err, lateen.ErrAliasInvalid)
	}
	c.leads("sale.localhost", nil)
}

// As on Vercel, a name is unique in a team, and the first team to deploy to
// production has the short host.
func TestTeamsMayHaveProjectsOfOneName(t *testing.T) {
	c := start(t)
	eve := &tester{Platform: c.Platform, t: t, ctx: c.As(t, c.Member(t, "eve", "rivals", lateen.Owner))}
	ours, theirs := c.deploy("ours", "production"), eve.deploy("theirs", "production")
	if ours.Project == theirs.Project {
		t.Fatal("two teams share a project")
	}
	c.leads("shop.localhost", ours)
	eve.leads("shop-rivals.localhost", theirs)
	hosts, err := c.AliasHosts(eve.ctx, theirs.ID)
	if err != nil || len(hosts) != 2 || !strings.HasPrefix(hosts[0], "shop-") {
		t.Fatalf("the hosts of production are %v, %v", hosts, err)
	}
	if _, err := c.CreateProject(eve.ctx, "shop", lateen.ProjectSettings{}); !errors.Is(err, lateen.ErrProjectTaken) {
		t.Errorf("a second project of the name: %v", err)
	}
	if err := c.DeleteProject(c.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	next := eve.deploy("next", "production")
	for _, host := range append(hosts, "shop.localhost") {
		eve.leads(host, next)
	}
}

func TestAliasesRefuseForeignHosts(t *testing.T) {
	c := start(t)
	d := c.deploy("one", "")
	c.deploy("other", "", project("other"))
	if _, err := c.CreateProject(c.ctx, "not.yet_there", lateen.ProjectSettings{}); err != nil {
		t.Fatal(err)
	}
	eve := c.As(t, c.Member(t, "eve", "rivals", lateen.Owner))
	rival, err := c.Deploy(eve, control.DeployRequest{Project: "rival", Files: inline("rival")})
	if err != nil {
		t.Fatal(err)
	}
	theirs := &tester{Platform: c.Platform, t: t, ctx: eve}
	theirs.await(rival.ID)
	for host, want := range map[string]error{
		"localhost":                   lateen.ErrAliasReserved,
		"api":                         lateen.ErrAliasReserved,
		"api.localhost":               lateen.ErrAliasReserved,
		"127.0.0.1":                   lateen.ErrAliasReserved,
		"127.1":                       lateen.ErrAliasReserved,
		"0x7f.0x1":                    lateen.ErrAliasReserved,
		"host.lateen.internal":        lateen.ErrAliasReserved,
		"1.example.com":               nil,
		"::1":                         lateen.ErrAliasInvalid,
		"other.localhost":             lateen.ErrAliasReserved,
		"rival.localhost":             lateen.ErrAliasReserved,
		"not-yet-there.localhost":     lateen.ErrAliasReserved,
		"anything-team.localhost":     lateen.ErrAliasReserved,
		"rival-git-x-rivals":          lateen.ErrAliasReserved,
		rival.Host:                    lateen.ErrAliasReserved,
		"":                            lateen.ErrAliasInvalid,
		"*.example.com":               lateen.ErrAliasInvalid,
		"exa mple.com":                lateen.ErrAliasInvalid,
		"-a.example.com":              lateen.ErrAliasInvalid,
		"a..example.com":              lateen.ErrAliasInvalid,
		"example.com/path":            lateen.ErrAliasInvalid,
		"example.com:8080":            lateen.ErrAliasInvalid,
		"éxample.com":                 lateen.ErrAliasInvalid,
		string(make([]byte, 300)):     lateen.ErrAliasInvalid,
		"shop.localhost":              nil,
		"shop-team.localhost":         nil,
		"a.b.localhost":               lateen.ErrAliasReserved,
		"a.shop.localhost":            nil,
		"xn--xample-9ua.com":          nil,
		"www.shop.example.co.uk":      nil,
		"something-teams.localhost":   nil,
		"https://fresh.example.com":   nil,
		"trailing-dot.example.com.":   nil,
		"one-label-under-the-domain1": nil,
	} {
		_, _, err := c.SetAlias(c.ctx, string(d.ID), host, "")
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", host, err, want)
		}
	}
	if _, _, err := theirs.SetAlias(eve, string(rival.ID), "www.shop.example.co.uk", ""); !errors.Is(err, lateen.ErrAliasTaken) {
		t.Errorf("a nonmember took an alias: %v", err)
	}
	c.leads("www.shop.example.co.uk", d)
	theirs.leads("rival.localhost", rival)
}

func TestAliasesNeedAReadyDeployment(t *testing.T) {
	c := newTester(t)
	d := c.accept("one", "")
	_, _, err := c.SetAlias(c.ctx, string(d.ID), "www.example.com", "")
	wants(t, err, lateen.ErrDeploymentNotReady)
}

// A project's name becomes a host. The host "shop-rivals" is generated for the team
// "rivals", so a project of another team may have the name but not the host.
func TestAProjectsNameTakesNoHostThatIsGeneratedForAnotherTeam(t *testing.T) {
	c := start(t)
	c.Member(t, "eve", "rivals", lateen.Owner)
	for _, name := range []string{"shop-rivals", "shop-git-main-rivals", "news_rivals", "api"} {
		d := c.deploy("one", "", project(name))
		c.leads(lateen.Label(name)+".localhost", nil)
		c.leads(lateen.Label(name)+"-team.localhost", d)
	}
	renamed := c.deploy("two", "", project("plain"))
	if _, err := c.UpdateProject(c.ctx, "plain", func(p *lateen.Project) error { p.Name = "blog-rivals"; return nil }); err != nil {
		t.Fatal(err)
	}
	c.leads("blog-rivals.localhost", nil)
	c.leads("blog-rivals-team.localhost", renamed)
	own := c.deploy("three", "", project("dream-team"))
	c.leads("dream-team.localhost", own)
}

// "shop-red-rivals" ends in the slugs of "rivals" and of "red-rivals": only the team
// with the longest slug generates it.
func TestAHostThatEndsInSeveralSlugsBelongsToTheTeamWithTheLongest(t *testing.T) {
	c := start(t)
	c.Member(t, "ann", "red-rivals", lateen.Owner)
	eve := c.As(t, c.Member(t, "eve", "rivals", lateen.Owner))
	theirs := &tester{Platform: c.Platform, t: t, ctx: eve}
	theirs.deploy("one", "", project("shop-red"))
	theirs.leads("shop-red-rivals.localhost", nil)
}

// A browser sends cookies with a Domain attribute to every host below that domain
// (RFC 6265, section 5.1.3). So a project with a host under the platform's domain
// owns all hosts below it, and loses them with the host.
func TestAHostBelowAProjectsHostIsThatProjects(t *testing.T) {
	c := start(t)
	shop := c.deploy("one", "production")
	eve := &tester{Platform: c.Platform, t: t, ctx: c.As(t, c.Member(t, "eve", "rivals", lateen.Owner))}
	rival := eve.deploy("rival", "production", project("rival"))
	for _, host := range []string{"a.shop.localhost", "a.b.shop.localhost", "a.nobody.localhost", "a.api.localhost", "a." + shop.Host} {
		_, _, err := c.SetAlias(eve.ctx, string(rival.ID), host, "")
		wants(t, err, lateen.ErrAliasReserved)
	}
	for name, lose := range map[string]func(d *lateen.Deployment) error{
		"renamed": func(*lateen.Deployment) error {
			_, err := c.UpdateProject(eve.ctx, "renamed", func(p *lateen.Project) error { p.Name = "renamed-since"; return nil })
			return err
		},
		"removed": func(*lateen.Deployment) error { _, err := c.RemoveAlias(eve.ctx, "removed.localhost"); return err },
		"deleted": func(d *lateen.Deployment) error {
			_, err := c.DeleteDeployment(eve.ctx, string(d.ID), false)
			return err
		},
	} {
		d, other := eve.deploy("one", "production", project(name)), eve.deploy("two", "preview", project(name))
		if _, _, err := c.SetAlias(eve.ctx, string(other.ID), "a."+name+".localhost", ""); err != nil {
			t.Fatal(err)
		}
		eve.leads("a."+name+".localhost", other)
		if err := lose(d); err != nil {
			t.Fatal(err)
		}
		eve.leads("a."+name+".localhost", nil)
	}
}
