package internal_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The dashboard and the alert rules must query existing metrics.
func TestDashboardsAndRulesNameMetricsThatExist(t *testing.T) {
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
	for _, file := range []string{"../deploy/grafana/lateen.json", "../deploy/prometheus/lateen.rules.yml"} {
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
