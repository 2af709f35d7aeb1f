package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
)

func TestFunctionsOfProductionArePreparedOnceTheyAreRouted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := map[lateen.DeploymentID]*lateen.Site{}
		for id, target := range map[lateen.DeploymentID]lateen.Environment{"live": lateen.Production, "draft": lateen.Preview} {
			sites[id] = &lateen.Site{Deployment: id, Target: target, Manifest: &lateen.Manifest{
				Functions: map[string]lateen.Function{"b": {}, "a": {}},
			}}
		}
		p := newPreparer(slog.New(slog.DiscardHandler))
		p.site = func(_ context.Context, id lateen.DeploymentID) (*lateen.Site, error) {
			if s, ok := sites[id]; ok {
				return s, nil
			}
			return nil, errors.New("no such deployment")
		}
		var prepared []string
		p.prepare = func(spec lateen.FunctionSpec) { prepared = append(prepared, string(spec.Deployment)+" "+spec.Name) }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()

		p.apply([]lateen.Event{bound("shop", "live"), bound("shop-team", "live"), bound("shop-x-team", "draft"), {Type: lateen.HostUnbound, Subject: "gone"}, bound("odd", "unknown")})
		synctest.Wait()
		if want := []string{"live a", "live b"}; !slices.Equal(prepared, want) {
			t.Errorf("prepared %v, want %v", prepared, want)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func bound(host string, d lateen.DeploymentID) lateen.Event {
	return lateen.Event{Type: lateen.HostBound, Subject: host, Deployment: d, Binding: lateen.Binding{Deployment: d}}
}

func TestRoutingNeverWaitsForThePreparer(t *testing.T) {
	p := newPreparer(slog.New(slog.DiscardHandler)) // without Run
	for range 2 * maxRouted {
		p.apply([]lateen.Event{bound("host", "d")})
	}
}

func TestTheFleetGetsTheProductionDeploymentOfEveryProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := func(id lateen.DeploymentID, minimum int) *lateen.Site {
			return &lateen.Site{Project: "shop", Deployment: id, Target: lateen.Production, Manifest: &lateen.Manifest{
				Functions: map[string]lateen.Function{"kept": {MinInstances: minimum}, "other": {}},
			}}
		}
		sites := map[lateen.DeploymentID]*lateen.Site{"old": site("old", 2), "new": site("new", 0)}
		p := newPreparer(slog.New(slog.DiscardHandler))
		var unreadable atomic.Bool
		p.site = func(_ context.Context, id lateen.DeploymentID) (*lateen.Site, error) {
			if unreadable.Load() {
				return nil, errors.New("the disk is gone")
			}
			if s, ok := sites[id]; ok {
				return s, nil
			}
			return nil, lateen.ErrDeploymentNotFound
		}
		var told []string
		p.produce = func(project lateen.ProjectID, d lateen.DeploymentID, functions []lateen.FunctionSpec) {
			words := []string{string(project), string(d)}
			for _, f := range functions {
				words = append(words, f.Name)
			}
			told = append(told, strings.Join(words, " "))
		}
		wants := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(told, want) {
				t.Errorf("%s: the fleet got %q, want %q", what, told, want)
			}
			told = nil
		}
		p.setProduction("shop", "old") // before Run, as when the platform starts
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		wants("a start", "shop old kept")
		p.setProduction("shop", "new")
		wants("a deployment without a minimum", "shop new")
		p.setProduction("shop", "old")
		wants("a rollback", "shop old kept")
		p.apply([]lateen.Event{{Type: lateen.DeploymentPromoted, Project: "shop", Deployment: "new"}, {Type: lateen.DeploymentPromoted, Project: "shop", Deployment: "old"}})
		wants("two events", "shop old kept")

		unreadable.Store(true)
		p.setProduction("shop", "new")
		wants("a deployment that cannot be read")
		unreadable.Store(false)
		time.Sleep(retryInterval)
		wants("the same a while later", "shop new")

		unreadable.Store(true)
		p.setProduction("shop", "old")
		wants("a deployment that cannot be read")
		p.apply([]lateen.Event{{Type: lateen.DeploymentRemoved, Deployment: "old"}})
		unreadable.Store(false)
		time.Sleep(retryInterval)
		wants("a deployment that was deleted meanwhile")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
