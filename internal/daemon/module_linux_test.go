package daemon_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/test/wasm"
)

// TestTheDaemonEndsWhileAModuleWritesRepeatedly stops a daemon while a module
// writes 8 MiB of line ends to standard error in one call, repeatedly.
func TestTheDaemonEndsWhileAModuleWritesRepeatedly(t *testing.T) {
	c := settings(t)
	c.Data, c.DrainTimeout = filepath.Join(enginetest.Reachable(t), "data"), time.Second
	d, stop := start(t, c)
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"config.json":                       []byte(`{"version":3}`),
		"functions/fn.func/module.wasm":     wasm.LineEnds(8 << 20),
		"functions/fn.func/.vc-config.json": []byte(`{"runtime":"wasi","handler":"module.wasm","memory":128}`),
	} {
		file := filepath.Join(dir, ".vercel", "output", filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	token, _ := d.Token()
	deployed, err := (&client.Client{BaseURL: "http://" + d.Addr(), Token: token}).Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "burns"})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.Addr()+"/fn", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = deployed.Host
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if resp, err := new(http.Client).Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	for !burns(t, "lateen-wasi") {
		select {
		case <-answered:
			t.Fatal("the module has answered")
		default:
		}
	}
	stop() // returns once the daemon has ended
	<-answered
	if burns(t, "lateen-wasi") {
		t.Error("the module outlives the daemon")
	}
}

// burns reports whether a descendant of this process with the given last argument
// has used more than half a second of processor time.
func burns(t *testing.T, argument string) bool {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		text, err := os.ReadFile(line)
		if err != nil || !strings.HasSuffix(string(text), "\x00"+argument+"\x00") || !descends(filepath.Base(filepath.Dir(line))) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(line), "stat"))
		_, rest, found := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); err == nil && found && len(fields) > 11 {
			if ticks, err := strconv.Atoi(fields[11]); err == nil && ticks >= 50 { // utime, in hundredths of a second
				return true
			}
		}
	}
	return false
}

// descends reports whether a process is a descendant of this one.
func descends(pid string) bool {
	for range 5 {
		stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if err != nil {
			return false
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			return false
		}
		if pid = fields[1]; pid == "" || pid == "0" {
			return false
		}
		if own, err := os.Readlink("/proc/self"); err == nil && own == pid {
			return true
		}
	}
	return false
}
