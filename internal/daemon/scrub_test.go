package daemon_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
)

// fileOf returns the file of the artifact with the given content.
func fileOf(dir, content string) string {
	digest := string(lateen.DigestOf([]byte(content)))
	return filepath.Join(dir, "artifacts", digest[:2], digest)
}

// flip changes one bit of a file.
func flip(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := errors.Join(os.Chmod(name, 0o600), os.WriteFile(name, text, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func scrub(t *testing.T, c *config.Config) lateen.Scrub {
	t.Helper()
	var last, of int64
	found, err := daemon.Scrub(t.Context(), c, func(done, total int64) {
		if done != last+1 || done > total {
			t.Errorf("progress goes from %d to %d of %d", last, done, total)
		}
		last, of = done, total
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != found.Artifacts || last != of {
		t.Errorf("progress ends at %d of %d; %d artifacts were read", last, of, found.Artifacts)
	}
	return found
}

// hostsOf returns the hosts that the damage to the artifact in a file affects.
func hostsOf(found lateen.Scrub, file string) (hosts []string, detail string) {
	for _, d := range found.Damaged {
		if d.File == file {
			for _, victim := range d.Deployments {
				hosts = append(hosts, victim.Hosts...)
			}
			return hosts, d.Detail
		}
	}
	return nil, ""
}

// The platform runs during the first scrub and has stopped before the second. Both
// have the same result, and neither adds or removes artifacts.
func TestScrubNamesDamagedArtifactsAndTheirHosts(t *testing.T) {
	c := settings(t)
	d, stop := start(t, c)
	first, second := publish(t, d, "first"), publish(t, d, "second")
	if found := scrub(t, c); len(found.Damaged) != 0 || int(found.Artifacts) != len(artifacts(t, c.Data)) {
		t.Errorf("%d artifacts are read of %d; damaged: %v", found.Artifacts, len(artifacts(t, c.Data)), found.Damaged)
	}
	flip(t, fileOf(c.Data, "second"))
	if err := os.Remove(fileOf(c.Data, "first")); err != nil {
		t.Fatal(err)
	}
	for _, running := range []bool{true, false} {
		if !running {
			stop()
		}
		before := artifacts(t, c.Data)
		found := scrub(t, c)
		if hosts, detail := hostsOf(found, fileOf(c.Data, "second")); !slices.Contains(hosts, second) || slices.Contains(hosts, first) || !strings.Contains(detail, "is damaged") {
			t.Errorf("running %v: the flipped bit hits %v (%s), want %s", running, hosts, detail, second)
		}
		if hosts, detail := hostsOf(found, fileOf(c.Data, "first")); !slices.Contains(hosts, first) || slices.Contains(hosts, second) || !strings.Contains(detail, "is missing") {
			t.Errorf("running %v: the missing file hits %v (%s), want %s", running, hosts, detail, first)
		}
		if len(found.Damaged) != 2 {
			t.Errorf("running %v: %d artifacts are damaged, want 2", running, len(found.Damaged))
		}
		if after := artifacts(t, c.Data); len(after) != len(before) {
			t.Errorf("running %v: of %d artifacts %d are left", running, len(before), len(after))
		}
	}
}

// A damaged manifest cannot name the other artifacts of its deployment.
func TestScrubFindsTheDeploymentOfADamagedManifest(t *testing.T) {
	c := settings(t)
	d, stop := start(t, c)
	host := publish(t, d, "page")
	stop()
	manifests, _ := filepath.Glob(filepath.Join(c.Data, "artifacts", "[0-9a-f][0-9a-f]", "*"))
	var hit int
	for _, file := range manifests {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), `{`) || !strings.Contains(string(text), `index.html`) {
			continue
		}
		flip(t, file)
		hit++
		if hosts, _ := hostsOf(scrub(t, c), file); !slices.Contains(hosts, host) {
			t.Errorf("the damage to %s hits %v, want %s", text, hosts, host)
		}
	}
	if hit == 0 {
		t.Fatal("no artifact is a manifest")
	}
}

// The remedy in the error of a damaged artifact restores the artifact.
func TestADamagedArtifactThatIsRemovedComesBackWithTheNextDeployment(t *testing.T) {
	c := settings(t)
	d, _ := start(t, c)
	old := publish(t, d, "page")
	flip(t, fileOf(c.Data, "page"))
	if err := os.Remove(fileOf(c.Data, "page")); err != nil {
		t.Fatal(err)
	}
	publish(t, d, "page")
	if found := scrub(t, c); len(found.Damaged) != 0 {
		t.Errorf("damaged: %v", found.Damaged)
	}
	if got := pageOf(t, d, old); got != "OK page" {
		t.Errorf("the page is %q", got)
	}
}

// A data directory without lateen.db belongs to a platform with PostgreSQL. The
// shell of an operator may lack its URL, which the settings of `lateen up` have.
func TestScrubAsksForTheDatabaseOfArtifactsThatHaveNone(t *testing.T) {
	c := settings(t)
	d, stop := start(t, c)
	publish(t, d, "page")
	stop()
	if err := os.Remove(filepath.Join(c.Data, "lateen.db")); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.Scrub(t.Context(), c, func(_, _ int64) {})
	if e, ok := errors.AsType[*lateen.Error](err); !ok || e.Reason != "no_platform_here" || !strings.Contains(e.Hint, "LATEEN_DATABASE") {
		t.Errorf("the error is %v, its hint does not name the database", err)
	}
}

func TestScrubRefusesADirectoryWithoutAPlatform(t *testing.T) {
	c := settings(t)
	_, err := daemon.Scrub(t.Context(), c, func(_, _ int64) {})
	if e, ok := errors.AsType[*lateen.Error](err); !ok || e.Reason != "no_platform_here" {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(c.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory was made: %v", err)
	}
}
