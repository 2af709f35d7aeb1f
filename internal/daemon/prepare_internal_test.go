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
		for id, target := range map[lateen.DeploymentID]string{"live": lateen.Production, "draft": lateen.Preview} {
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

		p.route(map[string]lateen.DeploymentID{"shop": "live", "shop-team": "live", "shop-x-team": "draft", "gone": "", "odd": "unknown"})
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

func TestRoutingNeverWaitsForThePreparer(t *testing.T) {
	p := newPreparer(slog.New(slog.DiscardHandler)) // nobody runs it
	for range 2 * maxRouted {
		p.route(map[string]lateen.DeploymentID{"host": "d"})
	}
}

func TestTheFleetIsToldOfTheProductionDeploymentOfEveryProject(t *testing.T) {
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
				t.Errorf("%s: told %q, want %q", what, told, want)
			}
			told = nil
		}
		p.setProduction("shop", "old") // before Run, as at a start
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		wants("a start", "shop old kept")
		p.setProduction("shop", "new")
		wants("a deployment without a minimum", "shop new")
		p.setProduction("shop", "old")
		wants("a rollback", "shop old kept")

		unreadable.Store(true)
		p.setProduction("shop", "new")
		wants("a deployment that cannot be read")
		unreadable.Store(false)
		time.Sleep(tellAgain)
		wants("the same a while later", "shop new")

		unreadable.Store(true)
		p.setProduction("shop", "old")
		wants("a deployment that cannot be read")
		p.forget("old")
		unreadable.Store(false)
		time.Sleep(tellAgain)
		wants("a deployment that was deleted meanwhile")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
