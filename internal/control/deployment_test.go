package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
	"github.com/lateen-dev/lateen/internal/store"
)

func project(name string) func(*control.DeployRequest) {
	return func(r *control.DeployRequest) { r.Project = name }
}

func branch(name string) func(*control.DeployRequest) {
	return func(r *control.DeployRequest) { r.Git = &lateen.GitMetadata{CommitRef: name} }
}

func TestDeployFromUploads(t *testing.T) {
	c := start(t)
	var files []lateen.UploadFile
	for name, content := range controltest.Files("preview") {
		files = append(files, lateen.UploadFile{Path: name, SHA1: sha(content), Size: int64(len(content)), Mode: 0o100644})
	}
	request := control.DeployRequest{Project: "shop", Files: files}
	_, err := c.Deploy(c.ctx, request)
	missing, ok := errors.AsType[*lateen.Error](err)
	if !ok || !errors.Is(err, lateen.ErrMissingFiles) || len(missing.Fields) != len(files) {
		t.Fatalf("the error is %v with %d fields", err, len(missing.Fields))
	}
	for _, content := range controltest.Files("preview") {
		if err := c.Upload(c.ctx, sha(content), int64(len(content)), strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := c.Deploy(c.ctx, request)
	if err != nil || d.State != lateen.Queued {
		t.Fatalf("the deployment is %+v, %v", d, err)
	}
	d = c.await(d.ID)
	if d.State != lateen.Ready || d.Manifest == "" || d.BuildingAt == 0 || d.ReadyAt < d.BuildingAt || d.AliasedAt < d.ReadyAt {
		t.Errorf("the deployment is %+v", d)
	}
	_, manifest, err := c.Manifest(c.ctx, d.Host)
	if err != nil || manifest.Functions["/api/hello"].Runtime != "nodejs22.x" {
		t.Errorf("the manifest is %+v, %v", manifest, err)
	}
}

// Of two simultaneous deployments without a target, the first is for production. If
// it fails, the next deployment is.
func TestTheNextDeploymentIsProductionWhereTheFirstFailedBesideAPreview(t *testing.T) {
	c := newTester(t)
	first, second := c.accept("one", ""), c.accept("two", "")
	if _, err := c.Cancel(c.ctx, string(first.ID)); err != nil {
		t.Fatal(err)
	}
	c.Start(t)
	if second = c.await(second.ID); second.State != lateen.Ready || second.Target != "preview" {
		t.Fatalf("the second is %s for %s", second.State, second.Target)
	}
	third := c.deploy("three", "")
	if third.Target != "production" {
		t.Fatalf("the third is for %s, and nothing serves production", third.Target)
	}
	c.leads("shop.localhost", third)
	if fourth := c.deploy("four", ""); fourth.Target != "preview" {
		t.Errorf("the fourth is for %s", fourth.Target)
	}
}

// A promoted preview serves production: the next deployment does not replace it
// without a request.
func TestADeploymentWithoutATargetReplacesNoPreviewThatWasPromoted(t *testing.T) {
	c := start(t)
	preview := c.deploy("one", "preview")
	if _, err := c.Promote(c.ctx, "shop", string(preview.ID)); err != nil {
		t.Fatal(err)
	}
	if next := c.deploy("two", ""); next.Target != "preview" {
		t.Errorf("the next is for %s", next.Target)
	}
}

func TestTheFirstDeploymentIsProduction(t *testing.T) {
	c := start(t)
	first := c.deploy("one", "")
	second := c.deploy("two", "")
	third := c.deploy("three", "production")
	if first.Target != "production" || second.Target != "preview" || third.Target != "production" {
		t.Errorf("the targets are %s, %s, %s", first.Target, second.Target, third.Target)
	}
	for _, d := range []*lateen.Deployment{first, second, third} {
		c.leads(d.Host, d)
	}
	c.leads("shop.localhost", third)
	c.leads("shop-team.localhost", third)
	p, err := c.Project(c.ctx, "shop")
	if err != nil || p.Production != third.ID {
		t.Errorf("the project is %+v, %v", p, err)
	}
	crons, err := c.Crons(c.ctx, p)
	if err != nil || len(crons) != 1 || crons[0].Path != "/api/hello" {
		t.Errorf("the crons are %v, %v", crons, err)
	}
}

// holdBack is a builder that blocks the assembly of one page until the test releases
// it.
type holdBack struct {
	control.Builder

	page    lateen.Digest
	release chan struct{}
}

func (h *holdBack) Assemble(ctx context.Context, src lateen.Source, log func(string)) (lateen.Digest, *lateen.Manifest, error) {
	for _, f := range src.Files {
		if f.Blob.Digest == h.page {
			<-h.release
		}
	}
	return h.Builder.Assemble(ctx, src, log)
}

// An older deployment whose assembly ends later takes no host from a newer one.
func TestALateDeploymentTakesNoHostFromANewerOne(t *testing.T) {
	h := &holdBack{page: lateen.DigestOf([]byte("older")), release: make(chan struct{})}
	c := start(t, func(o *control.Options) { h.Builder, o.Builder = o.Builder, h })
	older := c.accept("older", "production", branch("main"))
	newer := c.deploy("newer", "production", branch("main"))
	close(h.release)
	older = c.await(older.ID)
	c.leads("shop.localhost", newer)
	c.leads("shop-git-main-team.localhost", newer)
	c.leads(older.Host, older)
}

func TestBranchesHaveHosts(t *testing.T) {
	c := start(t)
	c.deploy("one", "")
	main := c.deploy("main", "", branch("main"))
	c.leads("shop-git-main-team.localhost", main)
	again := c.deploy("main again", "", branch("main"))
	c.leads("shop-git-main-team.localhost", again)
	slash := c.deploy("slash", "", branch("fix/it"))
	dash := c.deploy("dash", "", branch("fix-it"))
	c.leads("shop-git-fix-it-team.localhost", dash)
	found := 0
	for host, id := range c.Traffic.Hosts() {
		if strings.HasPrefix(host, "shop-git-fix-it-") && id == slash.ID {
			found++
		}
	}
	if found != 1 {
		t.Errorf("the branch fix/it has %d hosts", found)
	}
	long := c.deploy("long", "", branch(strings.Repeat("a-long-branch-", 10)))
	for host, id := range c.Traffic.Hosts() {
		if label, _, _ := strings.Cut(host, "."); len(label) > 63 {
			t.Errorf("%s (%s of %s) has a label of %d", host, id, long.ID, len(label))
		}
	}
}

func TestDeployRefuses(t *testing.T) {
	c := start(t, func(o *control.Options) { o.MaxFiles = 20 })
	file := func(path string) lateen.UploadFile { return lateen.UploadFile{Path: path, Data: "x", Mode: 0o100644} }
	var many []lateen.UploadFile
	for range 21 {
		many = append(many, file("a"))
	}
	for name, tt := range map[string]struct {
		files []lateen.UploadFile
		want  error
	}{
		"source code":                   {[]lateen.UploadFile{file("package.json")}, lateen.ErrSourceBuild},
		"nothing":                       {nil, lateen.ErrSourceBuild},
		"an archive not announced":      {[]lateen.UploadFile{file(".vercel/source.tgz.part1")}, lateen.ErrSourceBuild},
		"a path outside":                {append(inline("x"), file("../x")), lateen.ErrUploadPath},
		"a path outside, in the middle": {append(inline("x"), file("a/../../x")), lateen.ErrUploadPath},
		"an absolute path":              {append(inline("x"), file("/etc/passwd")), lateen.ErrUploadPath},
		"a backslash":                   {append(inline("x"), file(`a\..\b`)), lateen.ErrUploadPath},
		"a NUL":                         {append(inline("x"), file("a\x00b")), lateen.ErrUploadPath},
		"no path":                       {append(inline("x"), file("")), lateen.ErrUploadPath},
		"a folder's dot":                {append(inline("x"), file("./a")), lateen.ErrUploadPath},
		"one path twice":                {append(inline("x"), file("a"), file("a")), lateen.ErrUploadPath},
		"a device":                      {append(inline("x"), lateen.UploadFile{Path: "a", Data: "x", Mode: 0o020644}), lateen.ErrUploadPath},
		"an empty link":                 {append(inline("x"), lateen.UploadFile{Path: "a", Mode: 0o120777}), lateen.ErrUploadPath},
		"an invalid SHA-1":              {append(inline("x"), lateen.UploadFile{Path: "a", SHA1: "zz"}), lateen.ErrUploadDigest},
		"an unknown encoding":           {append(inline("x"), lateen.UploadFile{Path: "a", Data: "x", Encoding: "rot13"}), lateen.ErrInvalid},
		"broken base64":                 {append(inline("x"), lateen.UploadFile{Path: "a", Data: "x!", Encoding: "base64"}), lateen.ErrInvalid},
		"too many files":                {many, lateen.ErrTooManyFiles},
		"missing content":               {append(inline("x"), lateen.UploadFile{Path: "a", SHA1: sha("?")}), lateen.ErrMissingFiles},
	} {
		_, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: tt.files})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	for name, change := range map[string]func(*control.DeployRequest){
		"a target with a slash":   func(r *control.DeployRequest) { r.Target = "a/b" },
		"development":             func(r *control.DeployRequest) { r.Target = "development" },
		"an invalid project name": func(r *control.DeployRequest) { r.Project = "A B" },
		"no project":              func(r *control.DeployRequest) { r.Project = "" },
		"a huge meta":             func(r *control.DeployRequest) { r.Meta = map[string]string{"a": strings.Repeat("x", 65<<10)} },
		"a huge commit message": func(r *control.DeployRequest) {
			r.Git = &lateen.GitMetadata{CommitMessage: strings.Repeat("x", 65<<10)}
		},
		"countless meta": func(r *control.DeployRequest) {
			r.Meta = map[string]string{}
			for i := range 101 {
				r.Meta[strings.Repeat("k", i)] = ""
			}
		},
	} {
		r := control.DeployRequest{Project: "shop", Files: inline("x")}
		change(&r)
		if _, err := c.Deploy(c.ctx, r); lateen.CodeOf(err) != lateen.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := c.Deploy(c.ctx, control.DeployRequest{Project: "prj_nowhere", Files: inline("x")})
	wants(t, err, lateen.ErrProjectNotFound)
	_, err = c.Deploy(c.ctx, control.DeployRequest{From: "dpl_nowhere"})
	wants(t, err, lateen.ErrDeploymentNotFound)
	if projects, err := c.Projects(c.ctx, projectFilter()); err != nil || len(projects) != 0 {
		t.Errorf("refused requests left %d projects, %v", len(projects), err)
	}
	if all, err := c.Deployments(c.ctx, store.DeploymentFilter{}); err != nil || len(all) != 0 {
		t.Errorf("refused requests left %d deployments, %v", len(all), err)
	}
}

// An invalid build output ends in ERROR with the reason, and is not served.
func TestABadBuildOutputFails(t *testing.T) {
	c := start(t)
	good := c.deploy("good", "production")
	files := inline("bad")
	for i := range files {
		if files[i].Path == ".vercel/output/config.json" {
			files[i].Data = `{"version":2}`
		}
	}
	d, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Target: "production", Files: files})
	if err != nil {
		t.Fatal(err)
	}
	d = c.await(d.ID)
	if d.State != lateen.Failed || d.ErrorReason != lateen.ErrBuildOutputVersion.Reason || d.ErrorText == "" || d.AliasedAt != 0 {
		t.Errorf("the deployment is %+v", d)
	}
	c.leads(d.Host, nil)
	c.leads("shop.localhost", good)
	_, events, err := c.BuildLog(c.ctx, string(d.ID), control.BuildLogFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var said bool
	for e := range events {
		said = said || e.Level == lateen.LevelError && strings.Contains(e.Text, d.ErrorText)
	}
	if !said {
		t.Error("the build log does not contain the reason")
	}
	_, err = c.Site(t.Context(), d.ID)
	wants(t, err, lateen.ErrDeploymentNotReady)
}

type panicking struct{}

func (panicking) Assemble(context.Context, lateen.Source, func(string)) (lateen.Digest, *lateen.Manifest, error) {
	panic("boom")
}

func TestABuilderThatPanicsFailsOneDeployment(t *testing.T) {
	c := start(t, func(o *control.Options) { o.Builder = panicking{} })
	for range 3 {
		d := c.await(c.accept("one", "").ID)
		if d.State != lateen.Failed || d.ErrorReason != lateen.ErrInternal.Reason || strings.Contains(d.ErrorText, "boom") {
			t.Errorf("the deployment is %+v", d)
		}
	}
}

func TestCancel(t *testing.T) {
	g := newGate()
	spans := make(chan lateen.Span, 100)
	c := start(t, g.with, func(o *control.Options) { o.Spans = func(s lateen.Span) { spans <- s } })
	d := c.accept("one", "")
	<-g.began
	canceled, err := c.Cancel(c.ctx, string(d.ID))
	if err != nil || canceled.State != lateen.Canceled {
		t.Fatalf("canceled is %+v, %v", canceled, err)
	}
	if d := c.await(d.ID); d.State != lateen.Canceled {
		t.Errorf("the deployment is %s", d.State)
	}
	_, err = c.Cancel(c.ctx, string(d.ID))
	wants(t, err, lateen.ErrDeploymentFinal)
	for s := range spans { // the trace ends, too
		if s.ID == d.ID.Span().ID {
			if s.Err == nil {
				t.Error("the span of the canceled deployment has no error")
			}
			break
		}
	}
	close(g.open)
	next := c.deploy("two", "production")
	c.leads("shop.localhost", next)
	c.leads(d.Host, nil)
}

// A deployment survives a restart of the platform in each of its states.
func TestDeploymentsResumeAfterARestart(t *testing.T) {
	dir := t.TempDir()
	g := newGate()
	first := &tester{Platform: controltest.Open(t, dir, g.with), t: t}
	token := first.Token
	first.ctx = first.As(t, token)
	stop := first.Start(t)
	building := first.accept("building", "production")
	<-g.began
	stop()
	queued := first.accept("queued", "production")
	d, err := first.Deployment(first.ctx, string(building.ID))
	if err != nil || d.State != lateen.Building {
		t.Fatalf("the deployment is %s, %v", d.State, err)
	}

	second := &tester{Platform: controltest.Open(t, dir), t: t}
	second.ctx = second.As(t, token)
	second.leads(building.Host, nil)
	second.Start(t)
	for _, id := range []lateen.DeploymentID{building.ID, queued.ID} {
		if d := second.await(id); d.State != lateen.Ready || d.AliasedAt == 0 {
			t.Errorf("%s is %s: %s", id, d.State, d.ErrorText)
		}
	}
	second.leads("shop.localhost", queued)
}

// A deployment is READY before its hosts are recorded as assigned. After a crash in
// between, the next start finalizes it.
func TestAReadyDeploymentIsFinalizedAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := &tester{Platform: controltest.Open(t, dir), t: t}
	token := first.Token
	first.ctx = first.As(t, token)
	stop := first.Start(t)
	d := first.deploy("one", "")
	stop()
	d.AliasedAt = 0
	if err := first.Store.UpdateDeployment(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	second := &tester{Platform: controltest.Open(t, dir), t: t}
	second.ctx = second.As(t, token)
	second.leads("shop.localhost", d)
	second.Start(t)
	if d := second.await(d.ID); d.AliasedAt == 0 {
		t.Error("the deployment is not finalized")
	}
}

// interrupted makes a deployment look as if the platform had stopped several times
// during its assembly, the last time just now.
func (c *tester) interrupted(d *lateen.Deployment, times int) {
	c.t.Helper()
	var events []lateen.BuildLogLine
	for range times {
		events = append(events, lateen.BuildLogLine{Type: "deployment-state", CreatedAt: 1, Info: map[string]string{"readyState": "BUILDING"}})
	}
	d.State, d.BuildingAt = lateen.Building, lateen.MillisOf(time.Now())
	if err := errors.Join(c.Store.AppendBuildLog(c.ctx, d.ID, events), c.Store.UpdateDeployment(c.ctx, d)); err != nil {
		c.t.Fatal(err)
	}
}

// A deployment that seems to crash the platform waits for other deployments, and
// fails after the last try.
func TestADeploymentThatIsInterruptedAgainAndAgain(t *testing.T) {
	var at clock
	c := newTester(t, func(o *control.Options) { o.Now, o.Workers = at.now, 1 })
	seldom, often, hopeless := c.accept("seldom", "preview"), c.accept("often", "preview"), c.accept("hopeless", "preview")
	c.interrupted(seldom, 3)
	c.interrupted(often, 20)
	c.interrupted(hopeless, 30)
	c.Start(t)
	if d := c.await(seldom.ID); d.State != lateen.Ready {
		t.Errorf("the deployment is %s: %s", d.State, d.ErrorText)
	}
	c.deploy("another", "preview")
	if d, err := c.Deployment(c.ctx, string(often.ID)); err != nil || d.State != lateen.Building || d.BuildingAt != often.BuildingAt {
		t.Errorf("the deployment did not wait: %+v, %v", d, err)
	}
	at.forward(time.Hour)
	c.deploy("one more", "preview") // the worker looks for more after it
	if d := c.await(often.ID); d.State != lateen.Ready {
		t.Errorf("the deployment is %s: %s", d.State, d.ErrorText)
	}
	if d := c.await(hopeless.ID); d.State != lateen.Failed || d.ErrorReason != lateen.ErrAssembleInterrupted.Reason {
		t.Errorf("the deployment is %s: %s", d.State, d.ErrorText)
	}
}

func TestDeleteDeployment(t *testing.T) {
	c := start(t)
	production := c.deploy("one", "")
	preview := c.deploy("two", "preview")
	_, err := c.DeleteDeployment(c.ctx, string(production.ID), true)
	wants(t, err, lateen.ErrDeploymentAliased)
	c.leads("shop.localhost", production)
	if _, err := c.DeleteDeployment(c.ctx, preview.Host, true); err != nil {
		t.Fatal(err)
	}
	c.leads(preview.Host, nil)
	if _, err := c.DeleteDeployment(c.ctx, "shop.localhost", false); err != nil {
		t.Fatal(err)
	}
	c.leads("shop.localhost", nil)
	c.leads(production.Host, nil)
	if gone := c.Traffic.Events(lateen.DeploymentRemoved); len(gone) != 2 {
		t.Errorf("forgotten are %v", gone)
	}
	p, err := c.Project(c.ctx, "shop")
	if err != nil || p.Production != "" {
		t.Errorf("the project still has production %q, %v", p.Production, err)
	}
	next := c.deploy("three", "production")
	c.leads("shop.localhost", next)
}

func TestDeletingWhileAssembling(t *testing.T) {
	g := newGate()
	c := start(t, g.with)
	d := c.accept("one", "")
	<-g.began
	if _, err := c.DeleteDeployment(c.ctx, string(d.ID), false); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	next := c.deploy("two", "production")
	c.leads("shop.localhost", next)
	c.leads(d.Host, nil)
}

func TestRedeployRepeatsFilesAndMetadata(t *testing.T) {
	c := start(t)
	first := c.deploy("one", "", branch("main"), func(r *control.DeployRequest) { r.Meta = map[string]string{"color": "teal", "action": "x"} })
	if _, err := c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: "NEW", Value: "1", Type: "plain", Target: []lateen.Environment{"preview"}}, false); err != nil {
		t.Fatal(err)
	}
	d, err := c.Deploy(c.ctx, control.DeployRequest{From: first.ID, Meta: map[string]string{"action": "redeploy"}})
	if err != nil {
		t.Fatal(err)
	}
	d = c.await(d.ID)
	if d.State != lateen.Ready || d.Target != "preview" || d.Meta["color"] != "teal" || d.Meta["action"] != "redeploy" || d.Git.CommitRef != "main" || d.Manifest != first.Manifest {
		t.Errorf("the deployment is %+v", d)
	}
	if site, err := c.Site(t.Context(), d.ID); err != nil || site.Env["NEW"] != "1" {
		t.Errorf("the environment is not the current one: %v", err)
	}
	c.leads("shop.localhost", first)
}

func TestOutputsOfARootDirectoryAreFound(t *testing.T) {
	c := start(t)
	files := inline("one")
	for i := range files {
		files[i].Path = "apps/web/" + files[i].Path
	}
	d, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: files, Settings: lateen.ProjectSettings{RootDirectory: new("apps/web")}})
	if err != nil {
		t.Fatal(err)
	}
	if d := c.await(d.ID); d.State != lateen.Ready {
		t.Errorf("the deployment is %s: %s", d.State, d.ErrorText)
	}
	again, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: files})
	if err != nil {
		t.Fatalf("the project's own root directory does not count: %v", err)
	}
	if d := c.await(again.ID); d.State != lateen.Ready {
		t.Errorf("the deployment is %s: %s", d.State, d.ErrorText)
	}
}
