package control_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/store"
)

// line is a builder that reports the tenants of each assembly and blocks it until
// the test ends it.
type line struct {
	control.Builder

	began chan []string // team and project
	open  chan struct{} // one element ends one assembly
}

func (l *line) Assemble(ctx context.Context, src lateen.Source, log func(string)) (lateen.Digest, *lateen.Manifest, error) {
	l.began <- src.Tenants
	select {
	case <-l.open:
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	}
	return l.Builder.Assemble(ctx, src, log)
}

// While 12 deployments of one team are queued, the platform assembles two of them,
// and starts the deployment of another team immediately. Then the projects of the
// first team take turns, and so do the teams.
func TestManyDeploymentsOfOneTeamHoldUpNoOther(t *testing.T) {
	l := &line{began: make(chan []string, 100), open: make(chan struct{}, 100)}
	c := newTester(t, func(o *control.Options) { l.Builder, o.Builder = o.Builder, l })
	team := lateen.PrincipalFrom(c.ctx).Team
	var last *lateen.Deployment
	for _, name := range []string{"heavy", "heavy", "heavy", "heavy", "heavy", "light"} {
		last = c.accept("one", "", project(name))
	}
	c.Start(t)
	names := map[string]string{string(last.Project): "light"}
	next := func() string {
		tenants := <-l.began
		if tenants[0] != string(team) {
			return "other team"
		}
		if name := names[tenants[1]]; name != "" {
			return name
		}
		return "heavy"
	}
	got := []string{next(), next()}
	slices.Sort(got) // two workers begin at the same time
	eve := c.As(t, c.Member(t, "eve", "rivals", lateen.Owner))
	theirs := &tester{Platform: c.Platform, t: t, ctx: eve}
	theirs.accept("one", "", project("quiet"))
	got = append(got, next()) // no assembly has ended
	if diff := cmp.Diff([]string{"heavy", "light", "other team"}, got); diff != "" {
		t.Errorf("order of the assemblies (-want +got):\n%s", diff)
	}
	close(l.open)
	for range 4 {
		if name := next(); name != "heavy" {
			t.Errorf("then %s began", name)
		}
	}
}

// The quota is 1,000 bytes. Content counts once, however many deployments reference
// it, and until no deployment references it. Each team has its own quota.
func TestTheStorageOfATeamIsBounded(t *testing.T) {
	var passed atomic.Int64 // nanoseconds
	c := newTester(t, func(o *control.Options) {
		o.TeamBytes, o.Grace = 1000, time.Nanosecond
		o.Now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	})
	upload := func(ctx context.Context, text string, size int64) error {
		return c.Upload(ctx, sha(text), size, strings.NewReader(text))
	}
	full := strings.Repeat("x", 900)
	for range 3 {
		if err := upload(c.ctx, full, 900); err != nil {
			t.Fatal(err)
		}
	}
	more := strings.Repeat("y", 101)
	for _, size := range []int64{101, -1} {
		wants(t, upload(c.ctx, more, size), lateen.ErrTeamStorage)
	}
	if _, err := c.Artifacts.Size(c.ctx, lateen.DigestOf([]byte(more))); err == nil {
		t.Error("content beyond the quota is stored")
	}
	_, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: inline(more)})
	wants(t, err, lateen.ErrTeamStorage)
	eve := c.As(t, c.Member(t, "eve", "rivals", lateen.Owner))
	if err := upload(eve, full, 900); err != nil {
		t.Errorf("another team: %v", err)
	}
	passed.Store(int64(time.Second))
	if _, err := c.Sweep(c.ctx); err != nil {
		t.Fatal(err)
	}
	if err := upload(c.ctx, more, 101); err != nil {
		t.Errorf("after a sweep of unreferenced content: %v", err)
	}
}

// broken is a builder that panics after it has stored content.
type broken struct {
	control.Builder

	blob lateen.Blob
}

func (b *broken) Assemble(_ context.Context, src lateen.Source, _ func(string)) (lateen.Digest, *lateen.Manifest, error) {
	panic(fmt.Sprint("kept: ", src.OnStore(b.blob)))
}

func TestAnAssemblyThatPanicsReleasesItsStorage(t *testing.T) {
	var passed atomic.Int64 // nanoseconds
	full := strings.Repeat("x", 1500)
	c := newTester(t, func(o *control.Options) {
		o.TeamBytes, o.Grace = 2000, time.Nanosecond
		o.Now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
		o.Builder = &broken{blob: lateen.Blob{Digest: lateen.DigestOf([]byte(full)), Size: 1500}}
	})
	c.Start(t)
	c.await(c.accept("page", "").ID)
	passed.Store(int64(time.Second))
	err := c.Store.NoteCandidates(c.ctx, store.SweepContent, []string{string(lateen.DigestOf([]byte(full)))}, 1)
	if _, failed := c.Sweep(c.ctx); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if err := c.Upload(c.ctx, sha(full), 1500, strings.NewReader(full)); err != nil {
		t.Errorf("after a sweep: %v", err)
	}
}
