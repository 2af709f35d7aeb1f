package daemon_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
	"github.com/lateen-dev/lateen/test/wasm"
)

// A platform is killed several times while instances of a function run, idle and
// end. The stored usage never decreases, is at least that of the instances whose end
// was stored, and at most the time for which one instance at a time ran.
func TestUsageIsCountedOnceWhenThePlatformIsKilled(t *testing.T) {
	t.Setenv("LATEEN_KEEP_ALIVE", "300ms")
	t.Setenv("LATEEN_PER_FUNCTION", "1")
	s := superviseIn(t, filepath.Join(enginetest.Reachable(t), "data"))
	var before, running time.Duration
	var host string
	for round := range 4 {
		if round > 0 {
			s.start()
		}
		get(t, "http://"+s.addr+"/healthz", "")
		token, err := os.ReadFile(filepath.Join(s.dir, "token"))
		if err != nil {
			t.Fatal(err)
		}
		c := &client.Client{BaseURL: "http://" + s.addr, Token: strings.TrimSpace(string(token))}
		if round == 0 {
			host = deployModule(t, c)
		}
		if stored := storedUsage(t, c); stored != before {
			t.Errorf("a restart changed the stored usage from %s to %s", before, stored)
		}
		began := time.Now()
		callModule(t, s.addr, host)
		stored := before
		for stored == before { // until the usage of the instance is stored, seconds after its end
			<-time.After(50 * time.Millisecond)
			stored = storedUsage(t, c)
		}
		callModule(t, s.addr, host)
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		running += time.Since(began)
		before = usageIn(t, s.dir)
		if before < stored {
			t.Errorf("%s were stored before the kill, and %s are left", stored, before)
		}
		if before > running {
			t.Errorf("round %d: %s are stored of %s in which at most one instance ran", round, before, running)
		}
	}
	s.start()
	get(t, "http://"+s.addr+"/healthz", "")
}

// deployModule deploys a WebAssembly module that answers at /fn, and returns its
// host.
func deployModule(t *testing.T, c *client.Client) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, ".vercel/output/config.json"), `{"version":3}`)
	writeFile(t, filepath.Join(dir, ".vercel/output/functions/fn.func/.vc-config.json"), `{"runtime":"wasi","handler":"module.wasm"}`)
	writeFile(t, filepath.Join(dir, ".vercel/output/functions/fn.func/module.wasm"), string(wasm.Hello("content-type: text/plain\n\nhello", "")))
	made, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "metered"})
	if err != nil {
		t.Fatal(err)
	}
	return made.Host
}

func callModule(t *testing.T, addr, host string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/fn", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the function answers %d, %s", resp.StatusCode, resp.Header.Get("x-vercel-error"))
	}
}

// awaitBlankUsage waits until a platform has stored the memory of blank processes.
func awaitBlankUsage(t *testing.T, c *client.Client) {
	t.Helper()
	await(t, "no usage of blank processes is stored", func() bool {
		u, err := c.PlatformUsage(t.Context(), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range u.Functions {
			if kind.Function == "blank" && kind.Standby.Memory > 0 && kind.Standby.CPU > 0 && kind.Total() == kind.Standby {
				return true
			}
		}
		return false
	})
}

// storedUsage returns the time of all instances that a platform has stored, after it
// has checked that the sums by hour and by function agree.
func storedUsage(t *testing.T, c *client.Client) time.Duration {
	t.Helper()
	u, err := c.Usage(t.Context(), "metered", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var hours, functions lateen.Usage
	for _, h := range u.Hours {
		hours.Add(h.Usage)
	}
	for _, f := range u.Functions {
		functions.Add(f.Usage)
		if f.Function != "/fn" && f.Function != "fn" {
			t.Errorf("usage is of %q", f.Function)
		}
	}
	if hours != functions {
		t.Errorf("by hour %+v, by function %+v", hours, functions)
	}
	return hours.Total().Time - hours.Standby.Time
}

// usageIn returns the time of all instances in the database of a platform that does
// not run.
func usageIn(t *testing.T, dir string) (sum time.Duration) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "lateen.db"))
	if err != nil {
		t.Fatal(err)
	}
	teams, err := db.FirstTeam(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.ListUsage(context.WithoutCancel(t.Context()), store.UsageFilter{Team: teams.ID})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		sum += row.Total().Time - row.Standby.Time
	}
	return sum
}
