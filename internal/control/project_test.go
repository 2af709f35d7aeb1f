package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func projectFilter() store.ProjectFilter { return store.ProjectFilter{} }

func TestProjectsOfATeamAreNamedOnce(t *testing.T) {
	c := newTester(t)
	if _, err := c.CreateProject(c.ctx, "shop", lateen.ProjectSettings{}); err != nil {
		t.Fatal(err)
	}
	_, err := c.CreateProject(c.ctx, "shop", lateen.ProjectSettings{})
	wants(t, err, lateen.ErrProjectTaken)
	eve := c.As(t, c.Member(t, "eve", "other", lateen.Owner))
	if _, err = c.CreateProject(eve, "shop", lateen.ProjectSettings{}); err != nil {
		t.Errorf("another team's project of the name: %v", err)
	}
	for _, name := range []string{"", "Shop", "a---b", "../x", "a b", "é", "...", string(make([]byte, 200))} {
		_, err := c.CreateProject(c.ctx, name, lateen.ProjectSettings{})
		wants(t, err, lateen.ErrProjectInvalid)
	}
}

func TestRenamingAProjectMovesItsProduction(t *testing.T) {
	c := start(t)
	d := c.deploy("one", "")
	c.leads("shop.localhost", d)
	_, err := c.UpdateProject(c.ctx, "shop", func(p *lateen.Project) error {
		p.Name = "store"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.leads("shop.localhost", nil)
	c.leads("shop-team.localhost", nil)
	c.leads("store.localhost", d)
	c.leads("store-team.localhost", d)
	c.leads(d.Host, d)
}

func TestUpdateProjectKeepsImmutableFields(t *testing.T) {
	c := newTester(t)
	before, err := c.CreateProject(c.ctx, "shop", lateen.ProjectSettings{})
	if err != nil {
		t.Fatal(err)
	}
	after, err := c.UpdateProject(c.ctx, "shop", func(p *lateen.Project) error {
		p.ID, p.Team = "prj_other", "team_other"
		p.Framework = new("nextjs")
		return nil
	})
	if err != nil || after.ID != before.ID || after.Team != before.Team || *after.Framework != "nextjs" {
		t.Errorf("the project is %+v, %v", after, err)
	}
}

func TestTheStartHeaderFollowsItsSettingAtOnce(t *testing.T) {
	c := start(t)
	d := c.deploy("one", "")
	shows := func() bool {
		site, err := c.Site(c.ctx, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		return site.ShowsStart
	}
	if shows() {
		t.Error("production sends the start header although it is not enabled")
	}
	set := func(value string) error {
		_, err := c.UpdateProject(c.ctx, "shop", func(p *lateen.Project) error { p.StartHeader = value; return nil })
		return err
	}
	if err := set("always"); err != nil || !shows() {
		t.Errorf("always: %v, shown: %t", err, shows())
	}
	if updated := c.Traffic.Events(lateen.ProjectUpdated); len(updated) != 1 || updated[0].Project != d.Project {
		t.Errorf("the updates are %v, want one of %s", updated, d.Project)
	}
	wants(t, set("sometimes"), lateen.ErrProjectSetting)
}

func TestOnlyOwnersChangeTheWeightOfAProject(t *testing.T) {
	c := start(t)
	d := c.deploy("one", "")
	set := func(ctx context.Context, weight int) error {
		_, err := c.UpdateProject(ctx, "shop", func(p *lateen.Project) error { p.Weight = weight; return nil })
		return err
	}
	if err := set(c.ctx, 3); err != nil {
		t.Fatal(err)
	}
	site, err := c.Site(c.ctx, d.ID)
	if err != nil || site.Weight != 3 {
		t.Errorf("its site has the weight %d, %v; want 3", site.Weight, err)
	}
	if updated := c.Traffic.Events(lateen.ProjectUpdated); len(updated) != 1 || updated[0].Project != d.Project {
		t.Errorf("the updates are %v, want one of %s", updated, d.Project)
	}
	for _, weight := range []int{-1, lateen.MaxWeight + 1} {
		wants(t, set(c.ctx, weight), lateen.ErrProjectSetting)
	}
	developer := lateen.PrincipalFrom(c.ctx)
	developer.Role = lateen.Developer
	ctx := lateen.WithPrincipal(c.ctx, developer)
	wants(t, set(ctx, 9), lateen.ErrRoleTooLow)
	_, err = c.CreateProject(ctx, "another", lateen.ProjectSettings{Weight: 9})
	wants(t, err, lateen.ErrRoleTooLow)
	if err := set(ctx, 3); err != nil {
		t.Errorf("a developer can't update a project with the same weight: %v", err)
	}
}

func TestDeletingAProjectLeavesNothing(t *testing.T) {
	c := start(t)
	d := c.deploy("one", "")
	if _, _, err := c.SetAlias(c.ctx, string(d.ID), "www.example.com", ""); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteProject(c.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if hosts := c.Traffic.Hosts(); len(hosts) != 0 {
		t.Errorf("hosts still lead somewhere: %v", hosts)
	}
	if gone := c.Traffic.Events(lateen.DeploymentRemoved); len(gone) != 1 || gone[0].Deployment != d.ID {
		t.Errorf("removed are %v", gone)
	}
	if gone := c.Traffic.Events(lateen.ProjectRemoved); len(gone) != 1 || gone[0].Project != d.Project {
		t.Errorf("removed projects are %v", gone)
	}
	_, err := c.Deployment(c.ctx, string(d.ID))
	wants(t, err, lateen.ErrDeploymentNotFound)
}

// During a change of one project's hosts, no host of another project can move.
func TestAProjectWithManyAliasesIsDeletedInParts(t *testing.T) {
	c := start(t)
	d := c.deploy("one", "")
	err := c.Store.Update(c.ctx, func(q *store.Queries) error {
		for i := range 1200 {
			_, err := q.PutAlias(c.ctx, &lateen.Alias{
				ID: lateen.AliasID(fmt.Sprintf("als_%d", i)), Host: fmt.Sprintf("a%d.example.com", i),
				Project: d.Project, Team: d.Team, Deployment: d.ID, CreatedAt: lateen.Millis(i), UpdatedAt: lateen.Millis(i),
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteProject(c.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if most := c.Traffic.Most(); most > 600 {
		t.Errorf("%d events are of one transaction", most)
	}
	if _, err := c.Control.Store.GetAlias(c.ctx, "a1199.example.com"); !errors.Is(err, lateen.ErrAliasNotFound) {
		t.Errorf("an alias is left: %v", err)
	}
}

func TestProjectsOfOneLabelHaveDifferentHosts(t *testing.T) {
	c := start(t)
	hosts := make(map[string]lateen.DeploymentID)
	for _, name := range []string{"my.shop", "my-shop", "my_shop"} {
		d := c.deploy("one", "", project(name))
		for host, id := range c.Traffic.Hosts() {
			if id == d.ID && hosts[host] != "" {
				t.Errorf("%s took %s", name, host)
			}
			if id == d.ID {
				hosts[host] = id
			}
		}
	}
	if hosts["my-shop.localhost"] == "" || len(hosts) != 9 {
		t.Errorf("the hosts are %v", hosts)
	}
}

func TestEnvironmentsAreThoseNamed(t *testing.T) {
	c := start(t)
	c.deploy("one", "staging")
	_, err := c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: "K", Type: "plain", Target: []lateen.Environment{"qa", "production"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Environments(c.ctx, "shop")
	if err != nil || len(got) != 2 || got[0] != "qa" || got[1] != "staging" {
		t.Errorf("the environments are %v, %v", got, err)
	}
}

// A deployment has up to 64 KiB of metadata and a project any number of deployments:
// an operation on all of them reads only the fields that it needs.
func TestOperationsOnAllDeploymentsReadOnlyTheNeededFields(t *testing.T) {
	c := newTester(t)
	for _, target := range []lateen.Environment{"production", "staging", "staging"} {
		c.accept("page", target)
	}
	var reads atomic.Int64
	c.Store.Trace(func(query string, _ []any) {
		if strings.Contains(query, "FROM deployments") && strings.Contains(query, "meta") {
			reads.Add(1)
		}
	})
	environments, err := c.Environments(c.ctx, "shop")
	if err != nil || len(environments) != 1 || environments[0] != "staging" {
		t.Errorf("the environments are %v, %v", environments, err)
	}
	change := func(p *lateen.Project) error { p.StartHeader = lateen.StartHeaderAlways; return nil }
	if _, err := c.UpdateProject(c.ctx, "shop", change); err != nil {
		t.Error(err)
	}
	if n := reads.Load(); n > 0 {
		t.Errorf("deployments were read whole %d times", n)
	}
}

func TestTheSettingsOfAProjectAreBounded(t *testing.T) {
	c := newTester(t)
	if _, err := c.CreateProject(c.ctx, "shop", lateen.ProjectSettings{}); err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]func(*lateen.ProjectSettings, *string){
		"framework":       func(s *lateen.ProjectSettings, text *string) { s.Framework = text },
		"build command":   func(s *lateen.ProjectSettings, text *string) { s.BuildCommand = text },
		"ignored build":   func(s *lateen.ProjectSettings, text *string) { s.CommandForIgnoringBuildStep = text },
		"node version":    func(s *lateen.ProjectSettings, text *string) { s.NodeVersion = *text },
		"root directory":  func(s *lateen.ProjectSettings, text *string) { s.RootDirectory = text },
		"install command": func(s *lateen.ProjectSettings, text *string) { s.InstallCommand = text },
	} {
		for size, want := range map[int]error{4096: nil, 4097: lateen.ErrProjectSetting} {
			_, err := c.UpdateProject(c.ctx, "shop", func(p *lateen.Project) error {
				set(&p.ProjectSettings, new(strings.Repeat("x", size)))
				return nil
			})
			if !errors.Is(err, want) {
				t.Errorf("%s of %d bytes: %v, want %v", name, size, err, want)
			}
		}
	}
}
