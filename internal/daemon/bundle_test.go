package daemon_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/store/postgrestest"
)

// logged is a log that several goroutines write.
type logged struct {
	mu  sync.Mutex
	out bytes.Buffer
}

// Write implements [io.Writer].
func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

// unpacked returns the files of the debug bundle of a platform, by path. Profiles are
// decompressed.
func unpacked(t *testing.T, c *client.Client) map[string]string {
	t.Helper()
	var zipped bytes.Buffer
	if err := c.DebugBundle(t.Context(), &zipped); err != nil {
		t.Fatal(err)
	}
	archive, err := gzip.NewReader(&zipped)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, text := range archived(t, archive) {
		_, name, _ = strings.Cut(name, "/") // the directory of all
		files[name] = text
		if strings.HasSuffix(name, ".pprof") {
			files[name] = string(unzipped(t, text))
		}
	}
	return files
}

// archived returns the files of a .tar, by path.
func archived(t *testing.T, archive io.Reader) map[string]string {
	t.Helper()
	files := map[string]string{}
	for tape := tar.NewReader(archive); ; {
		header, err := tape.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tape)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}

func TestABundleShowsTheStateOfThePlatform(t *testing.T) {
	c := settings(t)
	c.Queue = 77
	d, _ := startWith(t, daemon.Options{Config: c, Out: new(logged), Version: "v0.1.0-test"})
	token, _ := d.Token()
	fail(t, c, d)
	files := unpacked(t, &client.Client{BaseURL: "http://" + d.Addr(), Token: token})
	want := []string{"build.txt", "config.json", "doctor.json", "goroutines.txt", "heap.pprof", "log.txt", "metrics.txt", "state.json"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(files))); diff != "" {
		t.Errorf("%s\n%s", diff, files["errors.txt"])
	}
	for name, text := range map[string]string{
		"build.txt": "path\tgithub.com/lateen-dev/lateen", "goroutines.txt": "daemon.(*Daemon).Run", "heap.pprof": "inuse_space",
		"metrics.txt": "\nlateen_instances 0\n", "log.txt": "part=",
	} {
		if !strings.Contains(files[name], text) {
			t.Errorf("%s does not contain %q: %.300q", name, text, files[name])
		}
	}
	var shown []config.Setting
	if err := json.Unmarshal([]byte(files["config.json"]), &shown); err != nil || !slices.Contains(shown, config.Setting{Name: "queue", Value: "77", Changed: true}) {
		t.Errorf("%v: the settings are %s", err, files["config.json"])
	}
	var state struct {
		Version     string `json:"version"`
		Hosts       int    `json:"hosts"`
		Productions int    `json:"productions"`
	}
	if err := json.Unmarshal([]byte(files["state.json"]), &state); err != nil || state.Version != "v0.1.0-test" || state.Hosts == 0 || state.Productions != 1 {
		t.Errorf("%v: the state is %s", err, files["state.json"])
	}
	var examined lateen.Examination
	if err := json.Unmarshal([]byte(files["doctor.json"]), &examined); err != nil || len(examined.Layers) == 0 || len(examined.Host) == 0 {
		t.Errorf("%v: the doctor reports %s", err, files["doctor.json"])
	}
}

// fail makes the platform log an error: it loses the files of a page before the first
// request for the page.
func fail(t *testing.T, c *config.Config, d *daemon.Daemon) {
	t.Helper()
	host := publish(t, d, "a page that is lost")
	files, err := filepath.Glob(filepath.Join(c.Data, "artifacts", "??", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d artifacts, %v", len(files), err)
	}
	for _, name := range files {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 500 {
		t.Fatalf("the lost page answers %s", resp.Status)
	}
}

// withoutSecrets creates a bundle of a platform that has secrets in every place, and
// looks for them in all its files.
func withoutSecrets(t *testing.T, c *config.Config) {
	t.Helper()
	c.Registry, c.LogLevel = "http://reader:hunter-registry@127.0.0.1:1/?_authToken=hunter-query", "debug"
	environment := map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter-otlp", "HUNTER": "hunter-environment", "PATH": "/nonexistent"}
	out := new(logged)
	d, _ := startWith(t, daemon.Options{Config: c, Out: out, Getenv: func(name string) string { return environment[name] }})
	token, _ := d.Token()
	publish(t, d, "page")
	owner := &client.Client{BaseURL: "http://" + d.Addr(), Token: token}
	for key, kind := range map[string]string{"A": lateen.EnvEncrypted, "B": lateen.EnvPlain, "C": lateen.EnvSensitive} {
		v := lateen.EnvVar{Key: key, Value: "hunter-variable-" + key, Type: kind, Target: []lateen.Environment{lateen.Production}}
		if _, err := owner.AddEnv(t.Context(), "shop", v, false); err != nil {
			t.Fatal(err)
		}
	}
	second, _, err := owner.CreateToken(t.Context(), client.TokenRequest{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = get(t, owner.BaseURL+"/v2/user?token="+second, second)
	fail(t, c, d)
	files := unpacked(t, owner)
	if len(files) < 8 {
		t.Fatalf("the bundle has only %d files", len(files))
	}
	for name, text := range files {
		for _, secret := range []string{"hunter", token, second, strings.TrimPrefix(token, "ltn_")} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s contains %q: …%s", name, secret, text[max(0, at-100):at+len(secret)])
			}
		}
	}
}

func TestABundleContainsNoSecret(t *testing.T) { withoutSecrets(t, settings(t)) }

func TestABundleContainsNoPasswordOfTheDatabase(t *testing.T) {
	c := settings(t)
	at, err := url.Parse(postgrestest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, has := at.User.Password(); !has { // a server that trusts its clients accepts any
		at.User = url.UserPassword(at.User.Username(), "hunter-database")
	}
	c.Database = at.String()
	withoutSecrets(t, c)
}

func TestTheCommandWritesBundlesAndProfilesForThisUserAlone(t *testing.T) {
	d, _ := start(t, settings(t))
	token, _ := d.Token()
	dir := t.TempDir()
	run := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		env := []string{"HOME=" + dir, "LATEEN_API=http://" + d.Addr(), "LATEEN_TOKEN=" + token}
		code = cli.Run(t.Context(), cli.State{Args: append([]string{"debug"}, args...), Dir: dir, Env: env, Stdout: &out, Stderr: &errs})
		return code, out.String(), errs.String()
	}
	for _, args := range [][]string{{"bundle", "-o", "kept.gz"}, {"profile", "heap"}, {"profile", "--seconds", "1"}} {
		if code, _, stderr := run(args...); code != 0 {
			t.Fatalf("%q exits with %d: %s", args, code, stderr)
		}
	}
	for _, name := range []string{"kept.gz", "heap.pprof", "cpu.pprof"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 || len(unzipped(t, string(content))) == 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if code, stdout, stderr := run("bundle", "-o", "-"); code != 0 || len(unzipped(t, stdout)) == 0 {
		t.Errorf("to standard output: exit code %d: %s", code, stderr)
	}
	if code, _, stderr := run("profile", "nothing"); code == 0 || !strings.Contains(stderr, `there is no profile "nothing"`) || !strings.Contains(stderr, "goroutine") {
		t.Errorf("an unknown profile: exit code %d: %s", code, stderr)
	}
}
