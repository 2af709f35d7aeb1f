package api

import (
	"reflect"
	"sync"

	"github.com/lateen-dev/lateen"
)

// enums are the values of enumerated types.
//
//nolint:gochecknoglobals // a constant in all but name
var enums = sync.OnceValue(func() map[reflect.Type][]string {
	return map[reflect.Type][]string{
		reflect.TypeFor[lateen.ReadyState](): words(lateen.Queued, lateen.Initializing, lateen.Building, lateen.Deploying, lateen.Ready, lateen.Failed, lateen.Canceled),
		reflect.TypeFor[lateen.Code]():       words(lateen.Codes()...),
		reflect.TypeFor[lateen.Role]():       words(lateen.Roles()...),
		reflect.TypeFor[lateen.Scope]():      words(lateen.Scopes()...),
		reflect.TypeFor[lateen.Action]():     words(lateen.Actions()...),
		reflect.TypeFor[lateen.StartKind]():  words(lateen.StartWarm, lateen.StartThawed, lateen.StartPrewarmed, lateen.StartTemplate, lateen.StartBlank, lateen.StartCold),
		reflect.TypeFor[lateen.Phase]():      words(lateen.PhaseRunning, lateen.PhaseFrozen, lateen.PhaseReclaimed, lateen.PhaseLeaving),
	}
})

func words[T ~string](list ...T) []string {
	out := make([]string, 0, len(list))
	for _, word := range list {
		out = append(out, string(word))
	}
	return out
}

// meaning is the documentation of a field: its description and its values.
type meaning struct {
	text string
	of   []string // values; nil: any
}

// fieldDocs documents fields, by schema and name.
//
//nolint:gochecknoglobals // a constant in all but name
var fieldDocs = sync.OnceValue(func() map[string]meaning {
	levels := []string{lateen.LevelInfo, lateen.LevelWarning, lateen.LevelError}
	all := map[string]meaning{
		"Alias.alias":                    {"host", nil},
		"Alias.siteUrl":                  {"URL of the host, with the port if there is one", nil},
		"BuildLambda.memorySize":         {"MiB; absent: the platform's default", nil},
		"BuildLambda.timeout":            {"seconds; absent: the platform's default", nil},
		"BuildOutput.size":               {"bytes; only of a file", nil},
		"BuildOutput.type":               {"", []string{"lambda", "edge", "file"}},
		"Deployment.traceId":             {"trace of its creation and assembly, if the platform exports traces (W3C Trace Context)", nil},
		"Duration.timeToReady":           {"milliseconds since the start of the assembly", nil},
		"Entry.bytesIn":                  {"bytes", nil},
		"Entry.bytesOut":                 {"bytes", nil},
		"Entry.cache":                    {"state of the cache: HIT, MISS, STALE, …", nil},
		"Entry.cursor":                   {"cursor for before=; in a followed log also for after=", nil},
		"Entry.duration":                 {"nanoseconds to the last byte", nil},
		"Entry.environment":              {"production, preview or the slug of a custom environment", nil},
		"Entry.firstByte":                {"nanoseconds to the first byte of the response", nil},
		"Entry.source":                   {"component that answered the request; for lines outside any request, the component that wrote the first line", nil},
		"Entry.statusCode":               {"499: the client disconnected first", nil},
		"EnvVar.customEnvironmentIds":    {"custom environments, in addition to target", nil},
		"EnvVar.type":                    {"", []string{lateen.EnvPlain, lateen.EnvEncrypted, lateen.EnvSensitive, lateen.EnvSystem}},
		"FunctionState.keepAlive":        {"nanoseconds that an idle instance is kept after the last request", nil},
		"FunctionState.memory":           {"bytes", nil},
		"Invocation.memory":              {"bytes", nil},
		"LogLine.level":                  {"", levels},
		"LogRow.durationMs":              {"milliseconds", nil},
		"Pagination.count":               {"number of items in this reply", nil},
		"Pagination.next":                {"Unix milliseconds, for until=; null: no further items", nil},
		"Pagination.prev":                {"Unix milliseconds of the first item", nil},
		"Project.productionDeploymentId": {"the deployment that serves production; absent if there is none yet", nil},
		"RowLine.level":                  {"", levels},
		"UploadFile.mode":                {"as in stat(2): 33188 is a file, 33261 an executable, 41471 a symbolic link", nil},
		"UploadFile.sha":                 {"SHA-1 of the content, 40 lower-case hex digits", nil},
		"UploadFile.size":                {"bytes", nil},
	}
	for _, name := range []string{"Deployment", "Promotion"} {
		for field, m := range map[string]meaning{
			"alias":         {"aliases of the deployment; absent in lists", nil},
			"created":       {"same as createdAt", nil},
			"environment":   {"production, preview or the slug of a custom environment", nil},
			"live":          {"whether the deployment serves production of its project", nil},
			"readySubstate": {"only of a staged deployment", []string{"STAGED", "PROMOTED"}},
			"siteUrl":       {"URL of the deployment, with the port if there is one", nil},
			"state":         {"same as readyState", nil},
			"status":        {"same as readyState", nil},
			"target":        {"production; null: preview or a custom environment, see environment", nil},
			"uid":           {"same as id", nil},
			"url":           {"host, without scheme and port", nil},
		} {
			all[name+"."+field] = m
		}
	}
	return all
})

// described adds the documentation of a field to the schema of its type.
func described(of *schema, field string) *schema {
	m, known := fieldDocs()[field]
	if !known {
		return of
	}
	out := *of
	if m.text != "" {
		out.About = m.text
	}
	if m.of != nil {
		out.Enum = m.of
	}
	return &out
}

// querySchema returns the schema of a query parameter.
func querySchema(name string) *schema {
	text := func(values ...string) *schema { return &schema{Type: "string", Enum: values} }
	switch name {
	case "limit":
		least, most := 1, maxPage
		return &schema{Type: "integer", Minimum: &least, Maximum: &most, Default: 20}
	case "page":
		least := 0
		return &schema{Type: "integer", Minimum: &least}
	case "seconds":
		least, most := 1, 60
		return &schema{Type: "integer", Minimum: &least, Maximum: &most}
	case "since", "until", "from", "startDate", "endDate", "untilTime":
		return &schema{Type: "integer", Format: "int64"}
	case "follow", "safe", "prebuilt":
		return text("0", "1")
	case "decrypt", "failedOnly", "rollbackInfo", "upsert":
		return text("true", "false")
	case "direction":
		return text("forward", "backward")
	case "format":
		return text("lines")
	}
	return text()
}

// metricsOperation describes the metrics endpoint, which is not a part of this API.
func metricsOperation(failure response) operation {
	return operation{
		OperationID: "get_metrics", Summary: "Read the metrics of the platform, in the text format of Prometheus", Tags: []string{"platform"},
		Responses: map[string]response{"200": {Description: "done", Content: map[string]media{"text/plain": {}}}, "default": failure},
	}
}
