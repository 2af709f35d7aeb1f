package control_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
)

// line is a builder that tells whose deployment it assembles, and waits until
// that may end.
type line struct {
	control.Builder

	began chan []string // team and project
	open  chan struct{} // an element lets one end
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

// While 12 deployments of one team wait, two of them are assembled, and the
// deployment of another team begins at once; then the projects of the first team
// take turns, and so do the teams.
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
	eve := c.As(t, c.Member(t, "eve", "rivals", lateen.Owner))
	theirs := &tester{Platform: c.Platform, t: t, ctx: eve}
	theirs.accept("one", "", project("quiet"))
	got = append(got, next()) // nothing has ended
	if diff := cmp.Diff([]string{"heavy", "light", "other team"}, got); diff != "" {
		t.Errorf("what began (-want +got):\n%s", diff)
	}
	close(l.open)
	for range 4 {
		if name := next(); name != "heavy" {
			t.Errorf("then %s began", name)
		}
	}
}
