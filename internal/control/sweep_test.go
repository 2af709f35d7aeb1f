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

// clock is a clock that a test moves.
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

func TestSweepDropsUnreferencedContent(t *testing.T) {
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
		t.Errorf("young content was swept: %+v, %v", swept, err)
	}
	at.forward(25 * time.Hour)
	swept, err := c.Sweep(t.Context())
	if err != nil || swept.Files == 0 {
		t.Fatalf("swept %+v, %v", swept, err)
	}
	if c.has("a page that goes") || c.has("never deployed") {
		t.Error("unreferenced content was not swept")
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
		t.Errorf("an upload of yesterday was deleted: %v", err)
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

// halting is an artifact store with a sweep that blocks.
type halting struct {
	artifact.Store

	began, open chan struct{}
}

func (h *halting) Sweep(ctx context.Context, digests []lateen.Digest, before time.Time) (artifact.Swept, []lateen.Digest, error) {
	h.began <- struct{}{}
	<-h.open
	return h.Store.Sweep(ctx, digests, before)
}

// A deployment of old uploads that is accepted during a sweep keeps its files, or is
// refused with missing files: no accepted deployment loses files.
func TestSweepsRemoveNoContentOfDeployments(t *testing.T) {
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

// A sweep drops artifacts in chunks, and deployments are accepted between them: an
// artifact that a deployment references by then is not dropped.
func TestSweepsKeepContentThatIsDeployedBetweenTheirChunks(t *testing.T) {
	var at clock
	h := &halting{began: make(chan struct{}), open: make(chan struct{})}
	c := newTester(t, func(o *control.Options) {
		h.Store, o.Artifacts, o.Now = o.Artifacts, h, at.now
	})
	last := `{"version":3}` // swept last: candidates of one time are sorted by digest
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

// A database does not remove an artifact that was stored with another database.
func TestSweepLeavesContentUnknownToTheStore(t *testing.T) {
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

// Content that a request stored before its failure is not used by any deployment.
func TestSweepDropsContentThatWasNeverReferenced(t *testing.T) {
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
		t.Error("the content of a refused request was not swept")
	}
}

// Removing a team removes its uploads. Their content is swept then, also if an
// earlier sweep found it referenced.
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
	sweep(3 * time.Hour) // an upload of three hours ago references it
	if _, err := c.DeleteTeam(eve); err != nil {
		t.Fatal(err)
	}
	sweep(25 * time.Hour)
	sweep(25 * time.Hour)
	if c.has("brief content") {
		t.Error("the content was not swept")
	}
}
