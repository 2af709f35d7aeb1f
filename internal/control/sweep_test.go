package control_test

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
)

// clock can be moved.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

func (c *tester) has(content string) bool {
	c.t.Helper()
	_, err := c.Artifacts.Size(c.t.Context(), lateen.DigestOf([]byte(content)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	return err == nil
}

func TestSweepDropsWhatNobodyNames(t *testing.T) {
	var at clock
	c := start(t, func(o *control.Options) { o.Now = at.now })
	kept := c.deploy("a page that stays", "")
	gone := c.deploy("a page that goes", "preview")
	if err := c.Upload(c.ctx, sha("never deployed"), -1, strings.NewReader("never deployed")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteDeployment(c.ctx, string(gone.ID), false); err != nil {
		t.Fatal(err)
	}
	if swept, err := c.Sweep(t.Context()); err != nil || swept.Files != 0 {
		t.Errorf("what is young was swept: %+v, %v", swept, err)
	}
	at.forward(25 * time.Hour)
	swept, err := c.Sweep(t.Context())
	if err != nil || swept.Files == 0 {
		t.Fatalf("swept %+v, %v", swept, err)
	}
	if c.has("a page that goes") || c.has("never deployed") {
		t.Error("what nobody names was kept")
	}
	if !c.has("a page that stays") {
		t.Error("a deployment lost a file")
	}
	if _, err := c.Site(t.Context(), kept.ID); err != nil {
		t.Error(err)
	}
	again, err := c.Deploy(c.ctx, control.DeployRequest{From: kept.ID})
	if err != nil {
		t.Fatal(err)
	}
	if d := c.await(again.ID); d.State != lateen.Ready {
		t.Errorf("a redeployment after a sweep is %s: %s", d.State, d.ErrorText)
	}
}

func TestUploadsAreForgottenAfterADay(t *testing.T) {
	var at clock
	c := newTester(t, func(o *control.Options) { o.Now = at.now })
	files := []lateen.UploadFile{{Path: ".vercel/output/config.json", SHA1: sha(`{"version":3}`)}}
	if err := c.Upload(c.ctx, files[0].SHA1, -1, strings.NewReader(`{"version":3}`)); err != nil {
		t.Fatal(err)
	}
	at.forward(23 * time.Hour)
	if _, err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: files}); err != nil {
		t.Errorf("an upload of yesterday is gone: %v", err)
	}
	at.forward(2 * time.Hour)
	if _, err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: files})
	wants(t, err, lateen.ErrMissingFiles)
	if !c.has(`{"version":3}`) {
		t.Error("the deployment that was accepted lost its file")
	}
}

// halting is an artifact store whose sweep waits.
type halting struct {
	artifact.Store

	began, open chan struct{}
}

func (h *halting) Sweep(ctx context.Context, digests []lateen.Digest, before time.Time) (artifact.Swept, []lateen.Digest, error) {
	h.began <- struct{}{}
	<-h.open
	return h.Store.Sweep(ctx, digests, before)
}

// A deployment of old uploads that is accepted while a sweep runs finds them
// or is told that they are missing: it is never accepted and then robbed.
func TestSweepsDoNotRobDeployments(t *testing.T) {
	var at clock
	h := &halting{began: make(chan struct{}), open: make(chan struct{})}
	c := newTester(t, func(o *control.Options) {
		h.Store, o.Artifacts, o.Now = o.Artifacts, h, at.now
	})
	files := []lateen.UploadFile{{Path: ".vercel/output/config.json", SHA1: sha(`{"version":3}`)}}
	if err := c.Upload(c.ctx, files[0].SHA1, -1, strings.NewReader(`{"version":3}`)); err != nil {
		t.Fatal(err)
	}
	at.forward(25 * time.Hour)
	swept := make(chan error)
	go func() {
		_, err := c.Sweep(t.Context())
		swept <- err
	}()
	<-h.began
	accepted := make(chan error)
	go func() {
		_, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: files})
		accepted <- err
	}()
	close(h.open)
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, lateen.ErrMissingFiles) && !c.has(`{"version":3}`) {
		t.Errorf("a deployment was accepted (%v) and its file swept", err)
	}
}

// A sweep drops artefacts in chunks, and deployments are accepted between them: what
// a deployment names by then is not dropped.
func TestSweepsSpareWhatIsDeployedBetweenTheirChunks(t *testing.T) {
	var at clock
	h := &halting{began: make(chan struct{}), open: make(chan struct{})}
	c := newTester(t, func(o *control.Options) {
		h.Store, o.Artifacts, o.Now = o.Artifacts, h, at.now
	})
	last := `{"version":3}` // of all that is uploaded, swept last: candidates of one time are in the order of their digests
	var others []string
	for i := 0; len(others) < control.DropsPerLock; i++ {
		if other := strconv.Itoa(i); lateen.DigestOf([]byte(other)) < lateen.DigestOf([]byte(last)) {
			others = append(others, other)
		}
	}
	for _, content := range append(others, last) {
		if err := c.Upload(c.ctx, sha(content), -1, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	at.forward(25 * time.Hour)
	swept := make(chan error, 1)
	go func() {
		_, err := c.Sweep(t.Context())
		swept <- err
	}()
	<-h.began // the first chunk, without the last file
	files := []lateen.UploadFile{{Path: ".vercel/output/config.json", SHA1: sha(last)}}
	if err := c.Upload(c.ctx, files[0].SHA1, -1, strings.NewReader(last)); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: files})
		accepted <- err
	}()
	h.open <- struct{}{}
	<-h.began
	h.open <- struct{}{}
	if err := errors.Join(<-swept, <-accepted); err != nil {
		t.Fatal(err)
	}
	if c.has(others[0]) {
		t.Error("the sweep dropped nothing")
	}
	if !c.has(last) {
		t.Error("a deployment was accepted and its file swept")
	}
}

// Another database than the one that an artefact was put with never knew that
// artefact: it is not its to remove.
func TestSweepLeavesWhatTheStoreNeverKnew(t *testing.T) {
	var at clock
	c := start(t, func(o *control.Options) { o.Now = at.now })
	c.deploy("a page", "")
	at.forward(100 * 24 * time.Hour)
	other := controltest.New(t, func(o *control.Options) { o.Artifacts, o.Trees, o.Now = c.Artifacts, nil, at.now })
	if swept, err := other.Sweep(t.Context()); err != nil || swept.Files != 0 {
		t.Errorf("an empty database swept %+v, %v; want nothing", swept, err)
	}
	if !c.has("a page") {
		t.Error("a deployment of the first database lost a file")
	}
}

// What a request put before it failed is of no use to any deployment.
func TestSweepDropsWhatWasPutAndNeverNamed(t *testing.T) {
	var at clock
	c := newTester(t, func(o *control.Options) { o.Now = at.now })
	files := append(inline("refused"), lateen.UploadFile{Path: "x", SHA1: "not a sha"})
	files[len(files)-1].Data, files[len(files)-1].SHA1 = "refused, too", ""
	files = append(files, lateen.UploadFile{Path: "y", Data: "%", Encoding: "base64"})
	_, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: files})
	if err == nil || !c.has("refused, too") {
		t.Fatalf("the request ended with %v, want it refused after a file was put", err)
	}
	for range 2 {
		at.forward(25 * time.Hour)
		if _, err := c.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if c.has("refused, too") {
		t.Error("what a refused request put stays")
	}
}

// A process that is killed between the deletion of a deployment and its effects
// leaves these to the next one.
func TestTrafficForgetsDeletedDeploymentsAfterARestart(t *testing.T) {
	c := newTester(t)
	d := c.accept("a page", "")
	if err := c.Store.NoteDeployment(t.Context(), d.ID, 1); err != nil {
		t.Fatal(err)
	}
	if err := c.Store.DeleteDeployment(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Traffic.Forgotten(); len(got) != 1 || got[0] != d.ID {
		t.Errorf("the traffic forgot %v, want %s", got, d.ID)
	}
}

// The uploads of a team that is removed go with it, and their content is of no use
// then, also where a sweep has seen that it was.
func TestTheContentOfARemovedTeamIsSwept(t *testing.T) {
	var at clock
	c := newTester(t, func(o *control.Options) { o.Now = at.now })
	if _, err := c.CreateTeam(c.ctx, "brief", ""); err != nil {
		t.Fatal(err)
	}
	eve := c.As(t, c.Member(t, "eve", "brief", lateen.Owner))
	upload := func() {
		t.Helper()
		if err := c.Upload(eve, sha("brief content"), -1, strings.NewReader("brief content")); err != nil {
			t.Fatal(err)
		}
	}
	sweep := func(after time.Duration) {
		t.Helper()
		at.forward(after)
		if _, err := c.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	upload()
	sweep(time.Hour)
	sweep(22 * time.Hour)
	upload()
	sweep(3 * time.Hour) // it is wanted by an upload of three hours ago
	if _, err := c.DeleteTeam(eve); err != nil {
		t.Fatal(err)
	}
	sweep(25 * time.Hour)
	sweep(25 * time.Hour)
	if c.has("brief content") {
		t.Error("the content is still there")
	}
}
