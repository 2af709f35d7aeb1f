package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestFilesThatCannotBeRemovedDoNotKeepTheFilesOfLaterDeployments(t *testing.T) {
	var tried []lateen.DeploymentID
	c := cleaner{
		forgetCode: func(lateen.DeploymentID) {},
		invalidate: func(context.Context, lateen.ProjectID, *lateen.Invalidation) error { return nil },
		removePages: func(d lateen.DeploymentID) error {
			tried = append(tried, d)
			if d == "stuck" {
				return errors.New("operation not permitted")
			}
			return nil
		},
		log: slog.New(slog.DiscardHandler),
	}
	events := []lateen.Event{
		{Type: lateen.DeploymentRemoved, Deployment: "stuck"},
		{Type: lateen.DeploymentReady, Deployment: "ready"},
		{Type: lateen.DeploymentRemoved, Deployment: "other"},
	}
	failures := 0
	for c.clean(t.Context(), events) != nil {
		if failures++; failures > maxCleanings {
			t.Fatalf("the cleaner still fails after %d failures", failures)
		}
	}
	if failures == 0 {
		t.Error("the cleaner did not try again")
	}
	if n := len(tried); n != 2*(failures+1) {
		t.Errorf("removed %d times, want two deployments %d times", n, failures+1)
	}
}
