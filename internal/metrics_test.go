package internal_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// metricNames returns a set of the metrics that the platform has.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	walkGo(t, func(file, _ string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(lateen_[a-z_]+)"`).FindAllStringSubmatch(string(text), -1) {
			known[m[1]] = known[m[1]] || !strings.HasSuffix(file, "_test.go")
		}
	})
	return known
}

// The dashboard, the alert rules and the documentation must name existing metrics.
func TestDashboardsAndRulesNameMetricsThatExist(t *testing.T) {
	known := metricNames(t)
	for _, file := range []string{"../deploy/grafana/lateen.json", "../deploy/prometheus/lateen.rules.yml", metricsPage} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`lateen_[a-z_]+`).FindAllString(string(text), -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range names {
			if !known[name] && !known[strings.TrimSuffix(name, "_bucket")] {
				t.Errorf("%s queries %s, which the platform does not have", file, name)
			}
		}
	}
}

// metricsPage lists the metrics.
const metricsPage = "../docs/how-to/observe.md"

func TestTheDocumentationListsAllMetrics(t *testing.T) {
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	for name, exists := range metricNames(t) {
		if exists && !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("%s does not list %s", metricsPage, name)
		}
	}
}
