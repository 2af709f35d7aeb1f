package site

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/lateen-dev/lateen"
)

// tenantSource has deployments that are named after their teams: "a/1" belongs to team
// a, whose sites have large route tables.
type tenantSource struct{ loads map[lateen.DeploymentID]int }

func (s *tenantSource) Owner(_ context.Context, d lateen.DeploymentID) (lateen.TeamID, lateen.ProjectID, error) {
	return lateen.TeamID(d[:1]), lateen.ProjectID(d[:1]), nil
}

func (s *tenantSource) Site(_ context.Context, d lateen.DeploymentID) (*lateen.Site, error) {
	s.loads[d]++
	var team string
	var n int
	if _, err := fmt.Sscanf(string(d), "%1s/%d", &team, &n); err != nil {
		return nil, err
	}
	m := &lateen.Manifest{}
	if team == "a" {
		for i := range 20 {
			m.Routes = append(m.Routes, lateen.Route{Src: fmt.Sprintf("^/r%d/(a{1000}b{1000})$", i), Dest: "/$1"})
		}
	}
	return &lateen.Site{Team: lateen.TeamID(team), Project: lateen.ProjectID(team), Deployment: d, Manifest: m}, nil
}

// A route table of 20 routes with 2,000 instructions each takes about 2 MB, and one of
// 20 routes of 300 bytes much less.
func TestTheWeightOfASiteIncludesItsRoutes(t *testing.T) {
	s := New(&tenantSource{loads: map[lateen.DeploymentID]int{}}, 1<<30)
	heavy, err := s.Get(t.Context(), "a/1")
	if err != nil {
		t.Fatal(err)
	}
	light, err := s.Get(t.Context(), "b/1")
	if err != nil {
		t.Fatal(err)
	}
	if w := heavy.weight(); w < 1<<20 {
		t.Errorf("the heavy site weighs %d bytes", w)
	}
	if w := light.weight(); w > 8<<10 {
		t.Errorf("the light site weighs %d bytes", w)
	}
}

func TestSitesOfOneProjectDoNotEvictThoseOfAnother(t *testing.T) {
	source := &tenantSource{loads: map[lateen.DeploymentID]int{}}
	s := New(source, 12<<20)
	visit := func(d string) {
		if _, err := s.Get(t.Context(), lateen.DeploymentID(d)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		visit(fmt.Sprintf("b/%d", i))
	}
	for i := range 30 {
		visit(fmt.Sprintf("a/%d", i))
	}
	for i := range 10 {
		visit(fmt.Sprintf("b/%d", i))
	}
	for d, n := range source.loads {
		if d[0] == 'b' && n != 1 {
			t.Errorf("%s was loaded %d times while another project loaded 30 large sites", d, n)
		}
	}
	if used := s.loaded.Used(); used > 12<<20 {
		t.Errorf("the sites use %d bytes", used)
	}
}

func TestATeamThatLoadsManySitesLeavesAPlaceForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &tenantSource{loads: map[lateen.DeploymentID]int{}}
		s := New(source, 12<<20)
		var held []func()
		for {
			release, ok := s.loading.TryTake("a", "a")
			if !ok {
				break
			}
			held = append(held, release)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { _, err := s.Get(ctx, "a/1"); ended <- err }()
		synctest.Wait()
		if n := source.loads["a/1"]; n > 0 {
			t.Error("a site that waits for its place was read into memory")
		}
		if _, err := s.Get(t.Context(), "b/1"); err != nil {
			t.Error(err)
		}
		select {
		case err := <-ended:
			t.Errorf("a site was loaded past the share of its team: %v", err)
		default:
		}
		cancel()
		<-ended
		for _, release := range held {
			release()
		}
	})
}
