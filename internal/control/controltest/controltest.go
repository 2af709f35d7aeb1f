// Package controltest starts a whole control for tests: the real store,
// artefacts, builder and keeper on a temporary directory.
package controltest

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/build"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// Platform is a control with what it stands on.
type Platform struct {
	*control.Control

	Store     *store.Store
	Artifacts artifact.Store
	Traffic   *Traffic
	Dir       string
	Token     string // of the owner; "" when the directory was bootstrapped before
	Log       *slog.Logger
}

// Traffic remembers where hosts lead.
type Traffic struct {
	mu        sync.Mutex // guards below
	hosts     map[string]lateen.DeploymentID
	refreshed []lateen.DeploymentID
	forgotten []lateen.DeploymentID
	produced  map[lateen.ProjectID]lateen.DeploymentID
}

// Route implements [control.Traffic].
func (t *Traffic) Route(hosts map[string]lateen.DeploymentID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for host, d := range hosts {
		if d == "" {
			delete(t.hosts, host)
		} else {
			t.hosts[host] = d
		}
	}
}

// Refresh implements [control.Traffic].
func (t *Traffic) Refresh(d lateen.DeploymentID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refreshed = append(t.refreshed, d)
}

// Forget implements [control.Traffic].
func (t *Traffic) Forget(d lateen.DeploymentID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgotten = append(t.forgotten, d)
}

// Produce implements [control.Traffic].
func (t *Traffic) Produce(p lateen.ProjectID, d lateen.DeploymentID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.produced == nil {
		t.produced = map[lateen.ProjectID]lateen.DeploymentID{}
	}
	t.produced[p] = d
}

// Produced returns the deployment that is in production, as was told last.
func (t *Traffic) Produced(p lateen.ProjectID) lateen.DeploymentID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.produced[p]
}

// Hosts returns where every host leads.
func (t *Traffic) Hosts() map[string]lateen.DeploymentID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.hosts)
}

// Refreshed returns the deployments whose sites were to be read anew.
func (t *Traffic) Refreshed() []lateen.DeploymentID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]lateen.DeploymentID(nil), t.refreshed...)
}

// Forgotten returns the deployments that were to be forgotten.
func (t *Traffic) Forgotten() []lateen.DeploymentID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]lateen.DeploymentID(nil), t.forgotten...)
}

// New returns a platform on a fresh directory, for a test to run.
func New(t *testing.T, change ...func(*control.Options)) *Platform {
	t.Helper()
	return Open(t, t.TempDir(), change...)
}

// Open returns a platform on a directory, with the hosts that it left there.
func Open(t *testing.T, dir string, change ...func(*control.Options)) *Platform {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqlite.Open(ctx, filepath.Join(dir, "lateen.db"))
	check(err)
	t.Cleanup(func() { db.Close() })
	disk, err := artifact.OpenDisk(filepath.Join(dir, "artifacts"))
	check(err)
	keeper, err := secret.OpenFile(filepath.Join(dir, "keys"))
	check(err)
	trees := artifact.NewTrees(filepath.Join(dir, "trees"), disk)
	log := slog.New(slog.NewTextHandler(testWriter{t}, nil))
	builder, err := build.New(build.Options{Artifacts: disk, Trees: trees, Dir: filepath.Join(dir, "builds"), Log: log})
	check(err)
	options := control.Options{
		Store: db, Artifacts: disk, Trees: trees, Builder: builder, Keeper: keeper,
		Keep: func(ctx context.Context, manifest lateen.Digest) ([]lateen.Digest, error) {
			return build.Keep(ctx, disk, manifest)
		},
		Traffic: &Traffic{hosts: make(map[string]lateen.DeploymentID)}, Log: log,
	}
	for _, fn := range change {
		fn(&options)
	}
	c, err := control.New(options)
	check(err)
	p := &Platform{Control: c, Store: db, Artifacts: disk, Dir: dir, Log: log}
	p.Traffic, _ = options.Traffic.(*Traffic)
	p.Token, _, err = c.Bootstrap(ctx)
	check(err)
	hosts, err := c.Hosts(ctx)
	check(err)
	p.Traffic.Route(hosts)
	return p
}

// Start runs the platform until the test ends or the returned function is
// called, which waits for it.
func (p *Platform) Start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := p.Run(ctx); err != nil {
			t.Errorf("control ended: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// As returns a context that acts as the bearer of a token in the first of
// their teams.
func (p *Platform) As(t *testing.T, token string) context.Context {
	t.Helper()
	principal, err := p.Authenticate(t.Context(), token, "")
	if err != nil {
		t.Fatal(err)
	}
	return lateen.WithPrincipal(t.Context(), principal)
}

// Member makes a user with a role in a team, which is made if slug is new, and
// returns a token of theirs.
func (p *Platform) Member(t *testing.T, name, slug string, role lateen.Role) string {
	t.Helper()
	now := time.Now()
	user := &lateen.User{ID: lateen.NewID[lateen.UserID]("usr_", now), Username: name, Email: name + "@example.com"}
	token, hash := secret.NewToken()
	err := p.Store.Update(t.Context(), func(q *store.Queries) error {
		team, err := q.GetTeam(t.Context(), slug)
		if err != nil {
			team = &lateen.Team{ID: lateen.NewID[lateen.TeamID]("team_", now), Slug: slug, Name: slug, CreatedAt: lateen.MillisOf(now)}
			if err := q.CreateTeam(t.Context(), team); err != nil {
				return err
			}
		}
		if err := q.CreateUser(t.Context(), user); err != nil {
			return err
		}
		if err := q.PutMember(t.Context(), lateen.Member{Team: team.ID, User: user.ID, Role: role}); err != nil {
			return err
		}
		return q.CreateToken(t.Context(), &lateen.Token{
			ID: lateen.NewID[lateen.TokenID]("tok_", now), User: user.ID, Name: name, Hash: hash,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Output writes a small build output into a directory: a page, a static file and
// a function.
func Output(t *testing.T, dir, target string) {
	t.Helper()
	for name, text := range Files(target) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Files are the files of a small build output by path.
func Files(target string) map[string]string {
	return map[string]string{
		".vercel/output/config.json":                              `{"version":3,"routes":[{"handle":"filesystem"}],"crons":[{"path":"/api/hello","schedule":"0 5 * * *"}]}`,
		".vercel/output/builds.json":                              `{"//":"","target":"` + target + `","argv":[],"builds":[]}`,
		".vercel/output/static/index.html":                        "<!doctype html><title>Lateen</title><h1>It serves.</h1>\n",
		".vercel/output/static/style.css":                         "h1 { color: teal }\n",
		".vercel/output/functions/api/hello.func/.vc-config.json": `{"runtime":"nodejs22.x","handler":"index.js","launcherType":"Nodejs","shouldAddHelpers":true}`,
		".vercel/output/functions/api/hello.func/index.js":        "module.exports = (req, res) => res.end('hello')\n",
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(string(b))
	return len(b), nil
}
