package daemon_test

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/worker"
)

// startControl runs the roles control and edge, for a worker on a socket.
func startControl(t *testing.T) (*config.Config, *client.Client) {
	t.Helper()
	c := settings(t)
	c.Data = filepath.Join(enginetest.Reachable(t), "data")
	c.Roles, c.Workers = "control,edge", "unix:"+filepath.Join(t.TempDir(), "worker.sock")
	d, _ := startWith(t, daemon.Options{Config: c, Out: new(logged), Version: "v0.1.0-control"})
	token, _ := d.Token()
	return c, &client.Client{BaseURL: "http://" + d.Addr(), Token: token}
}

func TestABundleShowsTheWorker(t *testing.T) {
	c, owner := startControl(t)
	process := startWorker(t, c)
	awaitSocket(t, c)
	files := unpacked(t, owner)
	want := []string{"build.txt", "config.json", "doctor.json", "goroutines.txt", "heap.pprof", "log.txt", "metrics.txt", "state.json"}
	for _, name := range want[:8:8] {
		want = append(want, "worker/"+name)
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(files))); diff != "" {
		t.Fatalf("%s\n%s", diff, files["errors.txt"])
	}
	for name, text := range map[string]string{
		"build.txt": "path\tgithub.com/lateen-dev/lateen", "goroutines.txt": "worker.(*Server).Run", "heap.pprof": "inuse_space",
		"metrics.txt": "\nlateen_instances 0\n", "doctor.json": `"layers"`,
	} {
		if !strings.Contains(files["worker/"+name], text) {
			t.Errorf("worker/%s does not contain %q: %.300q", name, text, files["worker/"+name])
		}
	}
	var shown []config.Setting
	if err := json.Unmarshal([]byte(files["worker/config.json"]), &shown); err != nil || !slices.Contains(shown, config.Setting{Name: "worker-listen", Value: c.Workers, Changed: true}) {
		t.Errorf("%v: the settings are %s", err, files["worker/config.json"])
	}
	var state struct {
		Process int    `json:"process"`
		Address string `json:"address"`
	}
	if err := json.Unmarshal([]byte(files["worker/state.json"]), &state); err != nil || state.Process != process.Process.Pid || state.Address != c.WorkerSocket(c.Workers) {
		t.Errorf("%v: the state is %s", err, files["worker/state.json"])
	}
}

func TestAWorkerRemovesSecretsFromItsBundle(t *testing.T) {
	c, _ := startControl(t)
	startWorker(t, c)
	awaitSocket(t, c)
	const secret = "ltn_hunter2hunter2" // in a field that the worker logs
	dial := worker.Dial(c.WorkerSocket(c.Workers))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://worker/v1/provide", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Lateen-Version", secret)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	archive, err := worker.New(worker.ClientOptions{Dial: dial}).Debug(t.Context()) // the control process has not seen it
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	files := archived(t, archive)
	if !strings.Contains(files["log.txt"], "version ltn_REDACTED with protocol 1") {
		t.Errorf("the log is %s", files["log.txt"])
	}
	for name, text := range files {
		if strings.Contains(text, "hunter2") {
			t.Errorf("%s contains the secret", name)
		}
	}
}

func TestABundleIsWrittenWithoutAWorker(t *testing.T) {
	c, owner := startControl(t)
	expect := func(reason, text string) {
		t.Helper()
		files := unpacked(t, owner)
		if got := files["errors.txt"]; !strings.HasPrefix(got, "worker: "+reason+": ") || !strings.Contains(got, text) {
			t.Errorf("errors.txt is %q", got)
		}
		for name := range files {
			if strings.HasPrefix(name, "worker/") {
				t.Errorf("it contains %s", name)
			}
		}
		if len(files) != 9 {
			t.Errorf("it has the files %q", slices.Sorted(maps.Keys(files)))
		}
	}
	expect("worker_unreachable", "no such file")
	serveForeign(t, c)
	expect("worker_incompatible", "the worker has version v9 with protocol 99, and the control process version v0.1.0-control")
}

// serveForeign runs a worker of another protocol.
func serveForeign(t *testing.T, c *config.Config) {
	t.Helper()
	listener, err := worker.Listen(t.Context(), c.WorkerSocket(c.Workers))
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Lateen-Protocol", "99")
		w.Header().Set("Lateen-Version", "v9")
		http.NotFound(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
}
