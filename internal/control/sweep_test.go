package control_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/control"
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

func (h *halting) Sweep(ctx context.Context, keep func(lateen.Digest) bool, before time.Time) (artifact.Swept, error) {
	h.began <- struct{}{}
	<-h.open
	return h.Store.Sweep(ctx, keep, before)
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
