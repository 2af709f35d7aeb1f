package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen/internal/control"
)

// upload sends a file and returns the status.
func (w *world) upload(t *testing.T, sha, size, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/v2/files", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.Token)
	req.Header.Set("X-Now-Digest", sha)
	if size != "" {
		req.Header.Set("X-Now-Size", size)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestUploads(t *testing.T) {
	w := newWorld(t, func(o *control.Options) { o.MaxFile = 1000 })
	const sha = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" // of hello
	for name, tt := range map[string]struct {
		sha, size, body string
		want            int
	}{
		"the announced content": {sha, "5", "hello", 200},
		"without a size":        {sha, "", "hello", 200},
		"once more":             {sha, "5", "hello", 200},
		"nothing":               {"da39a3ee5e6b4b0d3255bfef95601890afd80709", "0", "", 200},
		"another content":       {sha, "5", "jello", 400},
		"another size":          {sha, "6", "hello", 400},
		"an invalid size":       {sha, "-1", "hello", 400},
		"no digest":             {"", "5", "hello", 400},
		"a path for a digest":   {"../../etc/passwd", "5", "hello", 400},
		"more than is allowed":  {sha, "", strings.Repeat("x", 1001), 413},
		"more than fits a size": {sha, "99999999999999999999", "hello", 400},
	} {
		if got := w.upload(t, tt.sha, tt.size, tt.body); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// A body that ends before its length is not stored.
func TestACutOffUploadLeavesNothing(t *testing.T) {
	w := newWorld(t)
	const sha = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v2/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Now-Digest: %s\r\nContent-Length: 5\r\n\r\nhel", w.Token, sha)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && resp.StatusCode != http.StatusBadRequest {
		t.Errorf("the answer is %s", resp.Status)
	}
	conn.Close()
	status, body := w.ask(t, "owner", "POST", "/v13/deployments", `{"name":"shop","files":[{"file":".vercel/output/config.json","sha":"`+sha+`"}]}`)
	if status != 400 || !bytes.Contains(body, []byte("missing_files")) {
		t.Errorf("%d: %s", status, body)
	}
}
