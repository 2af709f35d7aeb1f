//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

// cargo is something to deploy, with the results of its deployment.
type cargo struct {
	name  string // also its meta data
	dir   string
	files map[string]string // static files by URL path

	uploaded int             // files that the platform said it has, in the last try
	total    int             // files there are, once known
	arrived  map[string]bool // hosts of deployments that were said to be READY
}

// load writes an application of some random files and a function.
func load(t *testing.T, name string) *cargo {
	t.Helper()
	c := &cargo{name: name, dir: filepath.Join(t.TempDir(), name), files: map[string]string{}, arrived: map[string]bool{}}
	for i := range 3 + rand.IntN(40) {
		c.files[fmt.Sprintf("/%s/%d.txt", name, i)] = strings.Repeat(fmt.Sprintf("%s %x ", name, rand.Uint64()), 10+rand.IntN(4000))
	}
	c.files["/index.html"] = "<h1>" + name + "</h1>"
	out := map[string]string{
		"functions/api/name.func/.vc-config.json": `{"runtime":"nodejs24.x","handler":"index.js","launcherType":"Nodejs"}`,
		"functions/api/name.func/index.js":        `module.exports = (req, res) => res.end(` + strconv.Quote(name) + `);`,
	}
	for path, content := range c.files {
		out["static"+path] = content
	}
	output(t, c.dir, out)
	return c
}

// ship deploys the cargo, and records the acknowledged results.
func (c *cargo) ship(ctx context.Context, p *platform) error {
	already := c.uploaded
	c.uploaded = 0
	var excess error
	project := "fleet-" + strconv.Itoa(len(c.name)%2)
	d, err := p.client().Deploy(ctx, client.DeployOptions{
		Dir: c.dir, Project: project, Target: []lateen.Environment{"production", "preview"}[len(c.files)%2], Meta: map[string]string{"cargo": c.name},
		Progress: func(at client.Progress) {
			switch at.Stage {
			case client.Hashing:
				c.total = at.TotalFiles
			case client.Uploading:
				if already+at.TotalFiles > c.total && at.Files == 0 {
					excess = fmt.Errorf("%s: %d of its %d files were acknowledged and %d are asked for again", c.name, already, c.total, at.TotalFiles)
				}
				c.uploaded = max(c.uploaded, at.Files)
			default:
				c.uploaded = c.total
			}
		},
	})
	c.uploaded = max(c.uploaded, already)
	if err == nil {
		c.arrived[d.Host] = true
	}
	if excess != nil {
		return excess
	}
	return err
}

var errUnlike = errors.New("not what was deployed")

// intact fails unless a host serves the cargo: a few of its files and, every
// now and then, its function.
func (c *cargo) intact(t *testing.T, p *platform, host string) error {
	t.Helper()
	s := site{p, host}
	paths := slices.Collect(maps.Keys(c.files))
	rand.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	for _, path := range append([]string{"/index.html"}, paths[:min(4, len(paths))]...) {
		if r := s.get(t, path); r.Status != http.StatusOK || r.Body != c.files[path] {
			return fmt.Errorf("%s: %w: %d, %d bytes of %d", s.address(path), errUnlike, r.Status, len(r.Body), len(c.files[path]))
		}
	}
	if rand.IntN(6) > 0 {
		return nil
	}
	if r := s.get(t, "/api/name"); r.Status != http.StatusOK || r.Body != c.name {
		return fmt.Errorf("%s: %w: %d %s", s.address("/api/name"), errUnlike, r.Status, clip(r.Body))
	}
	return nil
}

func TestKillingThePlatformLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_POOL=1")
	const all, kills = 50, 12
	var hold []*cargo
	for i := range all {
		hold = append(hold, load(t, fmt.Sprintf("cargo-%02d%s", i, strings.Repeat("x", i%2))))
	}
	acknowledged, interrupted, cut := 0, 0, 0
	for round := 0; ; round++ {
		var wave []*cargo
		for _, c := range hold {
			if len(c.arrived) == 0 && len(wave) < 5 {
				wave = append(wave, c)
			}
		}
		if len(wave) == 0 {
			break
		}
		var shipping sync.WaitGroup
		results := make([]error, len(wave))
		var underWay atomic.Int64
		for i, c := range wave {
			underWay.Add(1)
			shipping.Go(func() {
				defer underWay.Add(-1)
				results[i] = c.ship(t.Context(), p)
			})
		}
		if round < kills {
			<-time.After(rand.N(400 * time.Millisecond))
			cut += int(underWay.Load())
			children := descendants(t, p.cmd.Process.Pid)
			p.kill()
			p.restart(t)
			gone(t, children)
		}
		shipping.Wait()
		for i, err := range results {
			if len(wave[i].arrived) > 0 {
				acknowledged++
			} else {
				interrupted++
				t.Logf("round %d: %s: %v", round, wave[i].name, err)
			}
			if round >= kills && err != nil {
				t.Errorf("undisturbed, %s: %v", wave[i].name, err)
			}
		}
		survey(t, p, hold)
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d deployments acknowledged; %d kills hit %d under way, of which %d had to be begun again", acknowledged, kills, cut, interrupted)
}

func TestAnInterruptedUploadResumes(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_POOL=0")
	dir := filepath.Join(t.TempDir(), "half")
	files := map[string]string{}
	for i := range 60 {
		files[fmt.Sprintf("static/%d.txt", i)] = fmt.Sprintf("file %d %x", i, rand.Uint64())
	}
	output(t, dir, files)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	total, acknowledged := 0, 0
	_, err := p.client().Deploy(ctx, client.DeployOptions{Dir: dir, Project: "half", Uploads: 2, Progress: func(at client.Progress) {
		if at.Stage != client.Uploading || acknowledged == 40 {
			return
		}
		if total, acknowledged = at.TotalFiles, at.Files; acknowledged == 40 {
			p.kill()
			cancel()
		}
	}})
	if err == nil || acknowledged != 40 {
		t.Fatalf("%d of %d files were uploaded, then %v", acknowledged, total, err)
	}
	p.restart(t)
	asked := -1
	d, err := p.client().Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "half", Progress: func(at client.Progress) {
		if at.Stage == client.Uploading && asked < 0 {
			asked = at.TotalFiles
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if most := total - acknowledged; asked > most || asked < most-2 { // two more may have arrived unacknowledged
		t.Errorf("%d of %d files were acknowledged, and then %d were asked for", acknowledged, total, asked)
	}
	for path, content := range files {
		if r := (site{p, d.Host}).get(t, strings.TrimPrefix(path, "static")); r.Status != http.StatusOK || r.Body != content {
			t.Errorf("%s: %d %q, want %q", path, r.Status, clip(r.Body), content)
		}
	}
}

func TestAcceptedDeploymentsAreFinishedAfterAKill(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_POOL=1")
	var accepted sync.Map // of ids to cargo
	for round := range 3 {
		var all sync.WaitGroup
		for i := range 4 {
			c := load(t, fmt.Sprintf("accepted-%d-%d", round, i))
			all.Go(func() {
				d, err := p.client().Deploy(t.Context(), client.DeployOptions{Dir: c.dir, Project: "accepted", NoWait: true})
				if err != nil {
					t.Error(err)
					return
				}
				accepted.Store(d.ID, c)
			})
		}
		all.Wait()
		p.kill()
		p.restart(t)
	}
	for id, c := range accepted.Range {
		d := p.settled(t, id.(lateen.DeploymentID))
		if d.State != lateen.Ready {
			t.Errorf("%s is %s: %s", d.ID, d.State, d.ErrorText)
		} else if err := c.(*cargo).intact(t, p, d.Host); err != nil {
			t.Error(err)
		}
	}
}

// survey tells that every deployment there is comes to its end, serves exactly
// its files if that end is READY and nothing otherwise, and that none is lost.
func survey(t *testing.T, p *platform, hold []*cargo) {
	t.Helper()
	ready := map[string]bool{}
	eventually(t, func() error {
		clear(ready)
		list, _, err := p.client().Deployments(t.Context(), client.DeploymentFilter{}, client.Page{Limit: 100})
		if err != nil {
			return err
		}
		for _, d := range list {
			if !d.State.Final() {
				(site{p, d.Host}).hidden(t)
				return fmt.Errorf("%s is %s", d.ID, d.State)
			}
			ready[d.Host] = d.State == lateen.Ready
			c := hold[slices.IndexFunc(hold, func(c *cargo) bool { return c.name == d.Meta["cargo"] })]
			switch {
			case d.State == lateen.Ready && !c.arrived[d.Host]:
				if err := c.intact(t, p, d.Host); err != nil {
					t.Error(err)
				}
			case d.State != lateen.Ready:
				(site{p, d.Host}).gone(t)
			}
		}
		return nil
	})
	for _, c := range hold {
		for host := range c.arrived {
			if !ready[host] {
				t.Errorf("%s was acknowledged at %s and is lost", c.name, host)
			} else if err := c.intact(t, p, host); err != nil {
				t.Error(err)
			}
		}
	}
}

// hidden fails if a host shows anything of a deployment that is not READY: it
// is unknown, or just became READY.
func (s site) hidden(t *testing.T) {
	t.Helper()
	r := s.get(t, "/")
	if r.Status == http.StatusNotFound {
		return
	}
	if d, err := s.client().Deployment(t.Context(), s.host); err != nil || d.State == lateen.Failed || d.State == lateen.Queued || d.State == lateen.Building {
		t.Errorf("%s answers %d while it is not ready: %v", s.host, r.Status, err)
	}
}

// process is a process by its number and when it started.
type process struct{ pid, started string }

// descendants are the processes that a process started, they and theirs.
func descendants(t *testing.T, pid int) []process {
	t.Helper()
	children := map[string][]process{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		if p, parent, ok := readStat(name); ok {
			children[parent] = append(children[parent], p)
		}
	}
	var all []process
	for next := children[strconv.Itoa(pid)]; len(next) > 0; {
		one := next[0]
		all = append(all, one)
		next = append(next[1:], children[one.pid]...)
	}
	return all
}

// readStat reads the identity of a process and of its parent; see proc(5).
func readStat(name string) (p process, parent string, ok bool) {
	text, err := os.ReadFile(name)
	if err != nil {
		return p, "", false
	}
	_, rest, _ := bytes.Cut(text, []byte(") "))
	fields := strings.Fields(string(rest))
	if len(fields) < 20 || fields[0] == "Z" {
		return p, "", false
	}
	return process{filepath.Base(filepath.Dir(name)), fields[19]}, fields[1], true
}

// gone waits until none of the processes is left.
func gone(t *testing.T, processes []process) {
	t.Helper()
	eventually(t, func() error {
		for _, p := range processes {
			if now, _, ok := readStat("/proc/" + p.pid + "/stat"); ok && now == p {
				command, _ := os.ReadFile("/proc/" + p.pid + "/cmdline") // it only makes the message richer
				return fmt.Errorf("process %s outlives its platform: %q", p.pid, command)
			}
		}
		return nil
	})
}

func TestASecondPlatformOnTheSameDataRefuses(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_POOL=0")
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "data")
	for name, args := range map[string][]string{
		"uses " + p.data() + " already": {"--data", p.data(), "--listen", "127.0.0.1:" + strconv.Itoa(port)},
		"cannot listen on " + p.addr():  {"--data", fresh, "--listen", p.addr()},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		second := exec.CommandContext(ctx, binary, append([]string{"up"}, args...)...)
		second.Env = []string{"HOME=" + t.TempDir()}
		out, err := second.CombinedOutput()
		cancel()
		if second.ProcessState.ExitCode() != 5 || !strings.Contains(string(out), name) || !strings.Contains(string(out), "Hint") {
			t.Errorf("a second `lateen up`: %v\n%s\nwant %q", err, out, name)
		}
	}
	if _, err := os.Stat(fresh); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a start that cannot listen leaves a data directory: %v", err)
	}
	if err := p.ready(time.Minute); err != nil {
		t.Errorf("the first does not answer any more: %v", err)
	}
}

func TestStoppingLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_POOL=1")
	dir := filepath.Join(t.TempDir(), "tide")
	const config = `{"runtime":"nodejs24.x","handler":"index.js","launcherType":"Nodejs"}`
	output(t, dir, map[string]string{
		"static/index.html":                   "tide",
		"functions/slow.func/.vc-config.json": config,
		"functions/slow.func/index.js": `module.exports = async (req, res) => {
  for (let n = 1; n <= 8; n++) { res.write(n + "\n"); await new Promise((r) => setTimeout(r, 250)); }
  res.end("end\n");
};`,
		"functions/later.func/.vc-config.json": config,
		"functions/later.func/index.js": `module.exports = (req, res) => {
  const { waitUntil } = globalThis[Symbol.for("@vercel/request-context")].get();
  waitUntil(new Promise((r) => setTimeout(r, 700)).then(() => console.log("the work was done")));
  res.end("answered\n");
};`,
	})
	s := lateenCLI(t, p, dir).deploy("deploy")
	resp, err := s.open(t, http.MethodGet, "/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	later := s.get(t, "/later")
	children := descendants(t, p.cmd.Process.Pid)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if _, err := s.try(t, http.MethodGet, "/", nil, func(r *http.Request) { r.Close = true }); err == nil {
			return errors.New("a stopping platform takes new requests")
		}
		return nil
	})
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasSuffix(string(rest), "8\nend\n") {
		t.Errorf("the response that was under way ended with %q, %v", rest, err)
	}
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		t.Fatal("the platform goes on after its last request")
	}
	if p.err != nil {
		t.Errorf("the platform ended with %v", p.err)
	}
	gone(t, children)
	p.restart(t)
	s.logged(t, later.requestID(), "the work was done")
	s.expect(t, want{path: "/", contains: []string{"tide"}})
}

func TestKeptPagesOutliveTheProcess(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_POOL=1")
	s := lateenCLI(t, p, project(t, "sveltekit", "logbook", "preview")).deploy("deploy")
	first, state := s.kept(t, "/posts/kept")
	if state != "MISS" {
		t.Errorf("the first visit is %s", state)
	}
	again := func(how string) {
		t.Helper()
		p.restart(t)
		r, state := s.kept(t, "/posts/kept")
		if state != "HIT" || r.fact("rendered-at") != first.fact("rendered-at") || r.Body != first.Body {
			t.Errorf("after %s the page is %s from %s, before it was from %s", how, state, r.fact("rendered-at"), first.fact("rendered-at"))
		}
	}
	if err := p.signal(syscall.SIGTERM, time.Minute); err != nil || p.err != nil {
		t.Errorf("stop: %v, %v", err, p.err)
	}
	again("a stop")
	p.kill()
	again("a kill")
}

func TestStateMayBeKeptInPostgreSQL(t *testing.T) {
	t.Parallel()
	script := filepath.Join(root(t), "scripts", "postgres.sh")
	dir, err := os.MkdirTemp("", "lateen-e2e-postgres-") //nolint:usetesting // short, for its socket
	if err != nil {
		t.Fatal(err)
	}
	begin := exec.CommandContext(t.Context(), script, "start", dir)
	begin.Stderr = t.Output()
	out, err := begin.Output()
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if out, err := exec.CommandContext(ctx, script, "stop", dir).CombinedOutput(); err != nil {
			t.Errorf("stop PostgreSQL: %v\n%s", err, out)
		}
	})
	p := start(t, "LATEEN_POOL=1", "LATEEN_DATABASE="+strings.TrimSpace(string(out)))
	app := filepath.Join(t.TempDir(), "elephant")
	voyage(t, app, "preview", "first")
	cli := lateenCLI(t, p, app)
	first := cli.deploy("deploy")
	cli.run("env", "add", "COLOR", "production", "--value", "red")
	voyage(t, app, "production", "second")
	second := cli.deploy("deploy", "--prod")
	p.kill()
	p.restart(t)
	(site{p, "elephant.localhost"}).says(t, "second")
	first.says(t, "first")
	if got := second.env(t); got["COLOR"] != "red" {
		t.Errorf("after a kill the function finds COLOR=%q", got["COLOR"])
	}
	if _, err := os.Stat(filepath.Join(p.data(), "lateen.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a database in the data directory: %v", err)
	}
}
