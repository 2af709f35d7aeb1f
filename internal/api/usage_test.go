package api_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func TestUsageIsSummedByHourAndByFunction(t *testing.T) {
	w := newWorld(t)
	const hour = 3_600_000
	hourOf := func(project, deployment, function string, at lateen.Millis, ms int64) lateen.UsageHour {
		return lateen.UsageHour{
			Team: lateen.TeamID(w.names["team"]), Project: lateen.ProjectID(project), Deployment: lateen.DeploymentID(deployment), Function: function, Hour: at,
			Usage: lateen.Usage{Busy: lateen.StateUsage{Time: time.Duration(ms), Memory: 10 * ms, CPU: time.Duration(ms)}, Frozen: lateen.StateUsage{Time: 1}},
		}
	}
	project := w.names["project"]
	err := w.Store.AddUsage(t.Context(), store.UsageBatch{Writer: "w", Serial: 1, Rows: []lateen.UsageHour{
		hourOf(project, "dpl_1", "/b", 5*hour, 1), hourOf(project, "dpl_2", "/b", 5*hour, 2), hourOf(project, "dpl_1", "/a", 5*hour, 4),
		hourOf(project, "dpl_1", "/a", 6*hour, 8), hourOf(project, "dpl_1", "/a", 8*hour, 16), hourOf("prj_other", "dpl_3", "/a", 5*hour, 32),
	}})
	if err != nil {
		t.Fatal(err)
	}
	get := func(as, query string, status int, want string) {
		t.Helper()
		w.rows(t, []row{{as, "GET", "/v1/projects/shop/usage" + query, "", status, want}})
	}
	get("viewer", fmt.Sprintf("?since=%d&until=%d", 5*hour, 8*hour), 200, `{
		"hours":[
			{"hour":18000000,"busy":{"time":7,"memory":70,"cpu":7},"frozen":{"time":3,"memory":0,"cpu":0},"idle":{"time":0},"starting":{"time":0}},
			{"hour":21600000,"busy":{"time":8},"frozen":{"time":1}}],
		"functions":[{"function":"/a","busy":{"time":12}},{"function":"/b","busy":{"time":3},"frozen":{"time":2}}]}`)
	get("viewer", "", 200, `{"hours":[],"functions":[]}`) // the last 24 hours
	get("viewer", fmt.Sprintf("?since=1&until=%d", 32*24*hour), 400, `{"error":{"code":"bad_request"}}`)
	get("viewer", "?since=yesterday", 400, ``)
	err = w.Store.AddUsage(t.Context(), store.UsageBatch{Writer: "w", Serial: 2, Rows: []lateen.UsageHour{
		{Function: "blank", Hour: 5 * hour, Usage: lateen.Usage{Standby: lateen.StateUsage{Time: 9, Memory: 99, CPU: 3}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	platform := fmt.Sprintf("/v1/usage?since=%d&until=%d", 5*hour, 8*hour)
	w.rows(t, []row{
		{"owner", "GET", platform, "", 200, `{"hours":[{"hour":18000000,"busy":{"time":0},"standby":{"time":9}}],"functions":[{"function":"blank","standby":{"time":9,"memory":99,"cpu":3}}]}`},
		{"viewer", "GET", platform, "", 403, `{"error":{"code":"role_too_low"}}`},
		{"nonmember", "GET", platform, "", 403, ``},
		{"nonmember", "GET", "/v1/projects/{project}/usage", "", 404, `{"error":{"code":"project_not_found"}}`},
		{"owner", "GET", "/v1/projects/nothing/usage", "", 404, ``},
	})
}
