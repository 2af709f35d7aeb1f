package daemon_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/telemetry/telemetrytest"
)

// TestADeploymentIsOneTrace deploys a site to a platform that exports to a collector:
// the trace that the API names has the whole deployment, and each span is within its
// parent.
func TestADeploymentIsOneTrace(t *testing.T) {
	collector := telemetrytest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	d, stop := startWith(t, daemon.Options{Config: settings(t), Getenv: os.Getenv})
	host := publish(t, d, strings.Repeat("<p>text</p>", 1000))
	token, _ := d.Token()
	status, body := get(t, "http://"+d.Addr()+"/v13/deployments/"+host, token)
	var shown struct {
		TraceID string `json:"traceId"`
	}
	if err := json.Unmarshal([]byte(body), &shown); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	stop()

	byID := map[string]telemetrytest.Span{}
	var names []string
	for _, s := range collector.Spans() {
		if s.Trace == shown.TraceID {
			byID[s.ID] = s
			names = append(names, s.Name)
		}
	}
	for _, want := range []string{"deploy", "create", "store transaction", "publish events", "assemble", "read the build output", "compress static files", "store the manifest"} {
		if !slices.Contains(names, want) {
			t.Errorf("the trace %s lacks the span %q; it has %q", shown.TraceID, want, names)
		}
	}
	const millisecond = 1_000_000 // the precision of a deployment's times
	for _, s := range byID {
		within, known := byID[s.Parent]
		if known != (s.Name != "deploy") {
			t.Errorf("%q has the parent %q, which is in the trace: %v", s.Name, s.Parent, known)
		}
		if known && (s.Begin+millisecond < within.Begin || s.End > within.End+millisecond) {
			t.Errorf("%q from %d to %d is not within %q from %d to %d", s.Name, s.Begin, s.End, within.Name, within.Begin, within.End)
		}
	}
}

// TestTheTraceOfAFailedDeploymentHasTheError deploys a build output that is invalid.
func TestTheTraceOfAFailedDeploymentHasTheError(t *testing.T) {
	collector := telemetrytest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	d, stop := startWith(t, daemon.Options{Config: settings(t), Getenv: os.Getenv})
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, ".vercel/output/config.json"), `{"version":2}`)
	token, _ := d.Token()
	_, err := (&client.Client{BaseURL: "http://" + d.Addr(), Token: token}).Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop", Target: lateen.Production})
	if err == nil {
		t.Fatal("an invalid build output is deployed")
	}
	stop()
	for _, name := range []string{"read the build output", "assemble", "deploy"} {
		if s := collector.Span(name); !strings.Contains(s.Error, "version") {
			t.Errorf("the span %q has the error %q, want that of the build output: %v", name, s.Error, err)
		}
	}
}
