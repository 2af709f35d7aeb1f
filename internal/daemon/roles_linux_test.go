package daemon_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/test/link"
)

// linkNode puts Node.js into a data directory.
func linkNode(t testing.TB, data string) {
	t.Helper()
	node, err := enginetest.Toolchain(t).Node(t.Context(), 24)
	if err != nil {
		t.Fatal(err)
	}
	if err := link.Tree(filepath.Join(node, "..", "..", ".."), filepath.Join(data, "runtimes")); err != nil {
		t.Fatal(err)
	}
}

// startWorker runs a worker in a process of its own.
func startWorker(t *testing.T, c *config.Config) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], platformMode, c.Data)
	cmd.Env = append(os.Environ(), "LATEEN_ROLES=worker", "LATEEN_WORKER_LISTEN="+c.Workers, "LATEEN_POOL=0", "LATEEN_DRAIN_TIMEOUT=1s", "TEST_SUCCESSOR="+os.Args[0])
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // SIGTERM, so that the processes of functions end as well
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	return cmd
}

// site sends requests to a deployment.
type site struct {
	t          *testing.T
	host, addr string
}

func (s *site) get(path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.Host = s.host
	req.Header.Set("Accept", "application/json")
	return new(http.Client).Do(req)
}

// text returns the status and the text of a response.
func (s *site) text(path string) (int, string) {
	s.t.Helper()
	resp, err := s.get(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// await requests a path until the response has a status and a text.
func (s *site) await(path string, status int, text string) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		gotStatus, got := s.text(path)
		if gotStatus == status && strings.Contains(got, text) {
			return
		}
		select {
		case <-tick.C:
		case <-s.t.Context().Done():
			s.t.Fatalf("%s: %d %s", path, gotStatus, got)
		}
	}
}

// deployApp deploys functions that are given by their path and code.
func deployApp(t *testing.T, d *daemon.Daemon, functions map[string]string) *site {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"config.json": `{"version":3}`, "static/file.txt": "static"}
	for path, code := range functions {
		files["functions"+path+".func/index.mjs"] = code
		files["functions"+path+".func/.vc-config.json"] = `{"runtime":"nodejs24.x","handler":"index.mjs","launcherType":"Nodejs","supportsResponseStreaming":true}`
	}
	for name, text := range files {
		file := filepath.Join(dir, ".vercel", "output", filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	token, _ := d.Token()
	deployed, err := (&client.Client{BaseURL: "http://" + d.Addr(), Token: token}).Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "small"})
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, deployed.Host, d.Addr()}
}

func TestAPlatformServesWithItsRolesInTwoProcesses(t *testing.T) {
	c := settings(t)
	c.Data = filepath.Join(enginetest.Reachable(t), "data")
	linkNode(t, c.Data)
	c.Roles, c.Workers = "control,edge", "unix:"+filepath.Join(t.TempDir(), "w", "worker.sock")
	d, _ := start(t, c)
	worker := startWorker(t, c) // stops first, and leaves its usage
	awaitSocket(t, c)
	app := deployApp(t, d, map[string]string{
		"/fn":   "export default (req, res) => res.end('hello from ' + process.env.VERCEL);\n",
		"/hang": "export default (req, res) => { if (req.url.includes('begun')) res.write('begun\\n'); };\n",
	})
	if status, text := app.text("/fn"); status != http.StatusOK || text != "hello from 1" {
		t.Fatalf("the function answers %d %s", status, text)
	}

	begun, err := app.get("/hang?begun")
	if err != nil {
		t.Fatal(err)
	}
	defer begun.Body.Close()
	body := bufio.NewReader(begun.Body)
	if line, err := body.ReadString('\n'); line != "begun\n" {
		t.Fatal(line, err)
	}
	interrupted := make(chan string, 1)
	go func() {
		status, text := app.text("/hang")
		interrupted <- http.StatusText(status) + " " + faultOf(text)
	}()
	awaitInFlight(t, d, 2)
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait()
	if got := <-interrupted; got != "Bad Gateway platform" {
		t.Errorf("a request in flight gets %s", got)
	}
	if _, err := body.ReadString('\n'); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a response in progress ends with %v, like a complete one", err)
	}
	if status, text := app.text("/fn"); status != http.StatusServiceUnavailable || faultOf(text) != "platform" {
		t.Errorf("without a worker the function answers %d %s", status, text)
	}
	if status, text := app.text("/file.txt"); status != http.StatusOK || text != "static" {
		t.Errorf("without a worker a file is %d %s", status, text)
	}
	startWorker(t, c)
	app.await("/fn", http.StatusOK, "hello from 1")
}

func TestTheUsageOfAWorkerIsStored(t *testing.T) {
	c := settings(t)
	c.Data = filepath.Join(enginetest.Reachable(t), "data")
	c.Roles, c.Workers = "control,edge", "unix:"+filepath.Join(t.TempDir(), "worker.sock")
	d, _ := start(t, c)
	worker := startWorker(t, c) // stops first, and leaves its usage
	awaitSocket(t, c)
	token, _ := d.Token()
	api := &client.Client{BaseURL: "http://" + d.Addr(), Token: token}
	callModule(t, d.Addr(), deployModule(t, api))
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil { // the usage of running instances as well
		t.Fatal(err)
	}
	await(t, "no usage is stored", func() bool { return storedUsage(t, api) > 0 })
	awaitBlankUsage(t, api)
}

// dataApp reads, writes and invalidates the data cache in the way of Next.js.
const dataApp = `const { FetchCache } = globalThis[Symbol.for('@next/cache-handlers')];
export default async (req, res) => {
  const { key, text, tag } = Object.fromEntries(new URL(req.url, 'http://x').searchParams);
  const cache = new FetchCache({ _requestHeaders: req.headers });
  if (tag) await cache.revalidateTag(tag);
  const found = key && await cache.get(key, { kind: 'FETCH' });
  if (text) await cache.set(key, { kind: 'FETCH', data: { body: text }, revalidate: 60 }, { tags: ['t'] });
  res.end(found?.value.data.body ?? 'none');
};
`

func TestDataOutlivesAWorker(t *testing.T) {
	c := settings(t)
	c.Data = filepath.Join(enginetest.Reachable(t), "data")
	linkNode(t, c.Data)
	c.Roles, c.Workers = "control,edge", "unix:"+filepath.Join(t.TempDir(), "w", "worker.sock")
	worker := startWorker(t, c)
	awaitSocket(t, c)
	d, _ := start(t, c)
	app := deployApp(t, d, map[string]string{"/data": dataApp})
	app.await("/data?key=k", http.StatusOK, "none")
	await(t, "the worker has the data cache", func() bool {
		_, _ = app.text("/data?key=k&text=1")
		return storedData(t, d) > 0
	})
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait()
	startWorker(t, c)
	app.await("/data?key=k", http.StatusOK, "1") // of the other process
	if status, text := app.text("/data?key=k&tag=t"); text != "none" {
		t.Errorf("after its invalidation: %d %s", status, text)
	}
}

// storedData returns the number of values that the platform has stored.
func storedData(t *testing.T, d *daemon.Daemon) (n int) {
	t.Helper()
	token, _ := d.Token()
	_, text := get(t, "http://"+d.Addr()+"/metrics", token)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "lateen_data_cache_stored_total "); ok {
			n, _ = strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return n
}

func TestAWorkerIsReloaded(t *testing.T) {
	c := settings(t)
	c.Data = filepath.Join(enginetest.Reachable(t), "data")
	linkNode(t, c.Data)
	c.Roles, c.Workers = "control,edge", "unix:"+filepath.Join(t.TempDir(), "worker.sock")
	d, _ := start(t, c)
	worker := startWorker(t, c) // stops first, and leaves its usage
	awaitSocket(t, c)
	app := deployApp(t, d, map[string]string{"/fn": "export default (req, res) => res.end('hello from ' + process.env.VERCEL);\n"})
	app.await("/fn", http.StatusOK, "hello from 1")
	if err := worker.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the worker does not execute its successor", func() bool {
		if status, text := app.text("/fn"); status != http.StatusOK {
			t.Fatalf("during the reload the function answers %d %s", status, text)
		}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", worker.Process.Pid))
		return err == nil && strings.Contains(string(environ), "TEST_GENERATION=next")
	})
	if status, text := app.text("/fn"); status != http.StatusOK {
		t.Errorf("after the reload the function answers %d %s", status, text)
	}
}

// faultOf returns the party that an error response blames.
func faultOf(text string) string {
	var page struct {
		Error struct {
			Fault string `json:"fault"`
		} `json:"error"`
	}
	_ = json.Unmarshal([]byte(text), &page) // "" differs from every party
	return page.Error.Fault
}

// awaitSocket waits for the socket of the worker.
func awaitSocket(t *testing.T, c *config.Config) {
	t.Helper()
	await(t, "no socket", func() bool {
		info, err := os.Stat(c.WorkerSocket(c.Workers))
		if err != nil {
			return false
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the socket's mode is %v", info.Mode())
		}
		return true
	})
}

// awaitInFlight waits until functions answer n requests.
func awaitInFlight(t *testing.T, d *daemon.Daemon, n int) {
	t.Helper()
	token, _ := d.Token()
	await(t, "too few requests in flight", func() bool {
		status, text := get(t, "http://"+d.Addr()+"/v1/projects/small/functions", token)
		if status != http.StatusOK {
			t.Fatalf("the state of functions: %d %s", status, text)
		}
		var list struct {
			Functions []struct {
				InFlight int `json:"inFlight"`
			} `json:"functions"`
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, f := range list.Functions {
			sum += f.InFlight
		}
		return sum == n
	})
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("timeout: %s", what)
		}
	}
}
