package api_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/control"
)

// intake is an artifact store that reports the start of each file.
type intake struct {
	artifact.Store

	began chan struct{}
}

func (s *intake) Put(ctx context.Context, r io.Reader, want lateen.Digest) (lateen.Blob, error) {
	select {
	case s.began <- struct{}{}:
	default:
	}
	return s.Store.Put(ctx, r, want)
}

// trickle sends the head of a request and a part of its body, and then stalls.
func (w *world) trickle(t *testing.T, head string, length, sent int) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "%s\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", head, w.Token, length, strings.Repeat("x", sent))
}

// 100 stalled bodies hold no more of the 64 places for uploads than the share of
// their token. Uploads of another team, and of another token of the same team, start
// immediately.
func TestTricklingUploadsOfOneTokenHoldUpNoOther(t *testing.T) {
	began := make(chan struct{}, 1000)
	w := newWorld(t, func(o *control.Options) { o.Artifacts = &intake{o.Artifacts, began} })
	for len(began) > 0 {
		<-began
	}
	const sha = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" // of hello
	for range 100 {
		w.trickle(t, "POST /v2/files HTTP/1.1\r\nX-Now-Digest: "+sha, 1<<20, 128<<10)
	}
	const share = 22 // of 64, as in internal/share
	for range share {
		<-began
	}
	colleague := w.Member(t, "ann", "team", lateen.Developer)
	nonmember := w.tokens["nonmember"]
	for name, token := range map[string]string{"another team": nonmember, "another token": colleague} {
		if status := w.uploadAs(t, token, sha, "hello"); status != http.StatusOK {
			t.Errorf("an upload of %s: %d", name, status)
		}
	}
	if n := len(began); n != 2 {
		t.Errorf("%d uploads got a place beside %d of one token, want 2", n, share)
	}
}

// A request for a deployment gets a place only after its body has arrived.
func TestTricklingDeploymentsHoldUpNoOther(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		w.trickle(t, "POST /v13/deployments HTTP/1.1", 1<<20, 1000)
	}
	status, body := w.ask(t, "owner", "POST", "/v13/deployments", `{"name":"shop","deploymentId":"{deployment}"}`)
	if status != http.StatusOK {
		t.Errorf("%d: %s", status, body)
	}
}

func (w *world) uploadAs(t *testing.T, token, sha, body string) int {
	t.Helper()
	owner := w.Token
	w.Token = token
	defer func() { w.Token = owner }()
	return w.upload(t, sha, "", body)
}
