package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testBuildLog(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateDeployment(ctx, newDeployment("dpl_1", 1)))
	check(t, s.CreateDeployment(ctx, newDeployment("dpl_2", 1)))
	first := []lateen.BuildLogLine{
		{Type: "stdout", CreatedAt: 5, Text: "hello"},
		{Type: "deployment-state", CreatedAt: 6, Level: "error", Info: map[string]string{"readyState": "ERROR"}},
	}
	check(t, s.AppendBuildLog(ctx, "dpl_1", first))
	check(t, s.AppendBuildLog(ctx, "dpl_2", []lateen.BuildLogLine{{Type: "stdout"}}))
	more := []lateen.BuildLogLine{{Type: "stdout", Text: "more"}}
	check(t, s.AppendBuildLog(ctx, "dpl_1", more))
	check(t, s.AppendBuildLog(ctx, "dpl_1", nil))
	if first[1].Serial != 2 || more[0].Serial != 3 || more[0].Deployment != "dpl_1" {
		t.Errorf("serials %d and %d, want 2 and 3", first[1].Serial, more[0].Serial)
	}
	wantResult(t, []lateen.BuildLogLine{first[0], first[1], more[0]})(s.ListBuildLog(ctx, "dpl_1", 0, 0))
	wantResult(t, first)(s.ListBuildLog(ctx, "dpl_1", 0, 2))
	wantResult(t, more)(s.ListBuildLog(ctx, "dpl_1", 2, 2))
	wantResult(t, []lateen.BuildLogLine(nil))(s.ListBuildLog(ctx, "dpl_1", 3, 2))
	wantError(t, s.AppendBuildLog(ctx, "dpl_3", more), lateen.ErrDeploymentNotFound)
}
