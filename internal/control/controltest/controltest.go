// Package controltest runs a complete control in tests: the real store, artifacts,
// builder and keeper on a temporary directory.
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
	"github.com/lateen-dev/lateen/internal/assemble"
	"github.com/lateen-dev/lateen/internal/bus"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// Platform is a control with its dependencies.
type Platform struct {
	*control.Control

	Store     *store.Store
	Artifacts artifact.Store
	Bus       *bus.Bus
	Traffic   *Traffic
	Dir       string
	Token     string // of the owner; "" if the directory was bootstrapped before
	Log       *slog.Logger
}

// Traffic is a subscriber that records the events and applies the changes of hosts.
type Traffic struct {
	mu      sync.Mutex // guards the fields below
	hosts   map[string]lateen.DeploymentID
	events  []lateen.Event
	most    int
	forward func([]lateen.Event)
}

// Apply records events.
func (t *Traffic) Apply(events []lateen.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events, t.most = append(t.events, events...), max(t.most, len(events))
	if t.forward != nil {
		t.forward(events)
	}
	for i := range events {
		switch e := &events[i]; e.Type {
		case lateen.HostBound:
			t.hosts[e.Subject] = e.Binding.Deployment
		case lateen.HostUnbound:
			delete(t.hosts, e.Subject)
		default: // recorded only
		}
	}
}

// Events returns the events of a type, or all events if the type is "".
func (t *Traffic) Events(of lateen.EventType) []lateen.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	var some []lateen.Event
	for i := range t.events {
		if of == "" || t.events[i].Type == of {
			some = append(some, t.events[i])
		}
	}
	return some
}

// Most returns the maximum number of events of one delivery.
func (t *Traffic) Most() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.most
}

// Forward passes later events to another subscriber as well.
func (t *Traffic) Forward(to func([]lateen.Event)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forward = to
}

// Produced returns the last production deployment of a project.
func (t *Traffic) Produced(p lateen.ProjectID) (d lateen.DeploymentID) {
	for _, e := range t.Events(lateen.DeploymentPromoted) {
		if e.Project == p {
			d = e.Deployment
		}
	}
	return d
}

// Hosts returns the deployment of every host.
func (t *Traffic) Hosts() map[string]lateen.DeploymentID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.hosts)
}

// New returns a platform on a new directory; the test runs it.
func New(t *testing.T, change ...func(*control.Options)) *Platform {
	t.Helper()
	return Open(t, t.TempDir(), change...)
}

// Open returns a platform on a directory, with the stored hosts.
func Open(t *testing.T, dir string, change ...func(*control.Options)) *Platform {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "lateen.db"))
	if err != nil {
		t.Fatal(err)
	}
	return On(t, dir, db, 0, change...)
}

// On returns a platform on a directory and a store, which it closes. poll is the
// interval of looking for events of other processes; 0 if there are none.
func On(t *testing.T, dir string, db *store.Store, poll time.Duration, change ...func(*control.Options)) *Platform {
	t.Helper()
	t.Cleanup(func() { db.Close() })
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	disk, err := artifact.OpenDisk(filepath.Join(dir, "artifacts"))
	check(err)
	keeper, err := secret.OpenFile(filepath.Join(dir, "keys"))
	check(err)
	trees := artifact.NewTrees(filepath.Join(dir, "trees"), disk)
	log := slog.New(slog.NewTextHandler(testWriter{t}, nil))
	builder, err := assemble.New(assemble.Options{Artifacts: disk, Trees: trees, Dir: filepath.Join(dir, "builds"), Log: log})
	check(err)
	options := control.Options{
		Store: db, Artifacts: disk, Trees: trees, Builder: builder, Keeper: keeper,
		Keep: func(ctx context.Context, manifest lateen.Digest) ([]lateen.Digest, error) {
			return assemble.Keep(ctx, disk, manifest)
		},
		Log: log,
	}
	events := bus.New(bus.Options{Events: db, Poll: poll, Log: log})
	traffic := &Traffic{hosts: make(map[string]lateen.DeploymentID)}
	events.Subscribe(traffic.Apply)
	options.Events = events
	for _, fn := range change {
		fn(&options)
	}
	c, err := control.New(options)
	check(err)
	p := &Platform{Control: c, Store: db, Artifacts: disk, Bus: events, Traffic: traffic, Dir: dir, Log: log}
	p.Token, _, err = c.Bootstrap(ctx)
	check(err)
	check(events.Open(ctx))
	hosts, err := c.Hosts(ctx)
	check(err)
	for host, to := range hosts {
		traffic.hosts[host] = to.Deployment
	}
	return p
}

// Start runs the platform until the end of the test or a call of stop, which waits
// for its end.
func (p *Platform) Start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	for _, part := range []func(context.Context) error{p.Bus.Run, p.Run} {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				t.Errorf("a part ended: %v", err)
			}
		})
	}
	stop = func() { cancel(); parts.Wait() }
	t.Cleanup(stop)
	return stop
}

// As returns a context with the principal of a token, in the first team of its user.
func (p *Platform) As(t *testing.T, token string) context.Context {
	t.Helper()
	principal, err := p.Authenticate(t.Context(), token, "")
	if err != nil {
		t.Fatal(err)
	}
	return lateen.WithPrincipal(t.Context(), principal)
}

// Member creates a user with a role in a team, and the team if slug is new, and
// returns a token of the user.
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

// Files returns the files of a small build output by path.
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
