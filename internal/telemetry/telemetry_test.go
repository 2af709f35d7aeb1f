package telemetry_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/telemetry"
	"github.com/lateen-dev/lateen/internal/telemetry/telemetrytest"
)

func record() lateen.Record {
	return lateen.Record{
		ID: "req_1", Time: lateen.MillisOf(time.Now()), Project: "prj_1", Method: "GET", Host: "a.localhost", Path: "/x",
		Status: 200, Kind: "function", Output: "/api/x", Cache: "MISS", Duration: 20 * time.Millisecond, BytesOut: 5,
		TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331", ParentSpan: "00f067aa0ba902b7",
		Middleware: &lateen.Invocation{Function: "/middleware", Start: lateen.StartWarm, Handler: time.Millisecond},
		Invocation: &lateen.Invocation{
			Function: "/api/x", Start: lateen.StartTemplate, Claim: time.Millisecond, Load: 2 * time.Millisecond, Handler: 3 * time.Millisecond,
			CPU: 500 * time.Millisecond, Memory: 40 << 20, Outbound: []lateen.Outbound{{Host: "db.example.com", Count: 2}, {Host: "192.0.2.1", Count: 1}},
		},
	}
}

func TestTracesAndMetricsGoToTheEndpointThatTheEnvironmentNames(t *testing.T) {
	c := telemetrytest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	tel, err := telemetry.New(t.Context(), telemetry.Options{Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	tel.Record(record())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tel.Run(ctx); err != nil {
		t.Fatal(err)
	}
	request := c.Span("GET /api/x")
	if request.Trace != "0af7651916cd43dd8448eb211c80319c" || request.ID != "b7ad6b7169203331" || request.Parent != "00f067aa0ba902b7" {
		t.Errorf("the request's span is %+v, want the ids its caller and its function know", request)
	}
	for name, want := range map[string]string{
		"lateen.start": "template", "lateen.cpu_ms": "500", "lateen.memory_bytes": "41943040", "lateen.outbound": "db.example.com 2",
		"faas.coldstart": "true",
	} {
		if got := request.Attributes[name]; !strings.Contains(got, want) {
			t.Errorf("%s of the request's span is %s, want %s", name, got, want)
		}
	}
	if m := c.Span("middleware"); m.Parent != request.ID || !strings.Contains(m.Attributes["faas.coldstart"], "false") {
		t.Errorf("the middleware's span is %+v", m)
	}
	for _, phase := range []string{"claim", "load", "handler"} {
		if !slices.ContainsFunc(c.Spans(), func(s telemetrytest.Span) bool {
			return s.Name == phase && s.Trace == request.Trace && s.Parent == request.ID && s.ID != request.ID
		}) {
			t.Errorf("phase %s is no child of the request: %+v", phase, c.Spans())
		}
	}
	if sent := c.Metrics(); !slices.Contains(sent, "lateen_requests_total") && !slices.Contains(sent, "lateen_requests") {
		t.Errorf("metrics sent: %v, want the requests among them", sent)
	}
}

func TestNothingIsExportedUnlessConfigured(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	c := telemetrytest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.URL+"/v1/traces")
	tel, err := telemetry.New(t.Context(), telemetry.Options{Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	tel.Record(record())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tel.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if sent := c.Spans(); len(sent) > 0 {
		t.Errorf("spans were sent against OTEL_TRACES_EXPORTER=none: %v", sent)
	}
}

func TestMetricsCountRequestsByProjectAndStartsByKind(t *testing.T) {
	tel, err := telemetry.New(t.Context(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tel.Record(record())
	tel.Gauge("lateen_instances", "Instances.", func() float64 { return 3 })
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`lateen_requests_total{project="prj_1",source="function",status="2xx"} 1`,
		`lateen_function_starts_total{kind="template",project="prj_1"} 1`,
		`lateen_function_starts_total{kind="warm",project="prj_1"} 1`,
		`lateen_function_start_seconds_bucket{kind="template",le="0.003"} 1`,
		`lateen_function_start_seconds_bucket{kind="template",le="0.002"} 0`,
		`lateen_function_cpu_seconds_total{project="prj_1"} 0.5`,
		`lateen_function_memory_bytes_sum{project="prj_1"} 4.194304e+07`,
		`lateen_function_outbound_total{project="prj_1"} 3`,
		`lateen_bytes_total{direction="out",project="prj_1"} 5`,
		`lateen_instances 3`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestTheLogNamesItsPartAndKeepsToItsLevel(t *testing.T) {
	var out bytes.Buffer
	tel, err := telemetry.New(t.Context(), telemetry.Options{Out: &out, Level: "warn", Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	tel.Log("edge").Info("unheard")
	tel.Log("edge").Warn("heard")
	if got := out.String(); strings.Contains(got, "unheard") || !strings.Contains(got, `"part":"edge"`) {
		t.Errorf("log: %s", got)
	}
	if _, err := telemetry.New(t.Context(), telemetry.Options{Out: &out, Level: "loud"}); err == nil {
		t.Error("an unknown level is accepted")
	}
}
