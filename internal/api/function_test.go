package api_test

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

func TestFunctionsOfProductionAreListedIdleOrNot(t *testing.T) {
	w := newWorld(t)
	list := func(status int, want string) {
		t.Helper()
		w.rows(t, []row{{"viewer", "GET", "/v1/projects/shop/functions", "", status, want}})
	}
	list(200, `{"functions":[{"function":"/api/hello","production":true,"deploymentId":"{deployment}","projectId":"{project}","runtime":"nodejs22.x","paths":["/api/hello"],"instances":[],"starts":[],"waiting":0}]}`)

	project, production := lateen.ProjectID(w.names["project"]), lateen.DeploymentID(w.names["deployment"])
	learned := lateen.FunctionState{
		Project: project, Deployment: production, Function: "/api/hello", Waiting: 3, InFlight: 2, KeepAlive: time.Minute,
		Instances: []lateen.InstanceState{{ID: "ins_1", Phase: lateen.PhaseRunning, Start: lateen.StartTemplate, InFlight: 2}},
		Starts:    []lateen.StartState{{Kind: lateen.StartTemplate, Count: 9, P50: time.Millisecond, P99: 2 * time.Millisecond}},
	}
	w.SetFunctions(learned)
	list(200, `{"functions":[{"function":"/api/hello","production":true,"runtime":"nodejs22.x","waiting":3,"inFlight":2,"keepAlive":60000000000,"instances":[{"id":"ins_1","phase":"running","start":"template","inFlight":2}],"starts":[{"kind":"template","count":9,"p50":1000000,"p99":2000000}]}]}`)

	// The preparation of each function is requested by its key, with the reason of a
	// missing template.
	learned.Preparation = &lateen.Preparation{Archive: true, NoTemplate: "it opened a connection"}
	w.SetFunctions(learned)
	list(200, `{"functions":[{"function":"/api/hello","preparation":{"archive":true,"template":false,"noTemplate":"it opened a connection"}}]}`)

	// The instances of another deployment do not count for production; its
	// preparation does.
	learned.Deployment = "dpl_other"
	w.SetFunctions(learned, lateen.FunctionState{Project: "prj_other", Function: "/secret", Waiting: 1})
	list(200, `{"functions":[
		{"function":"/api/hello","production":true,"deploymentId":"{deployment}","waiting":0,"inFlight":0,"instances":[],"keepAlive":60000000000,"starts":[{"kind":"template"}]},
		{"function":"/api/hello","production":false,"deploymentId":"dpl_other","waiting":3,"paths":[],"instances":[{"id":"ins_1"}]}]}`)

	// A function that no longer runs is not listed.
	learned.Instances, learned.Waiting, learned.Function = nil, 0, "/gone"
	w.SetFunctions(learned)
	list(200, `{"functions":[{"function":"/api/hello","starts":[]}]}`)
	w.rows(t, []row{{"owner", "GET", "/v1/projects/nothing/functions", "", 404, ""}})
}
