package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

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
