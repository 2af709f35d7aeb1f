package daemon_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/test/link"
)

// BenchmarkWarm measures a request to a running function, through the listener, the
// fleet and Node.js, with its record. All allocations are the platform's.
func BenchmarkWarm(b *testing.B) {
	host, addr := deploySmall(b)
	conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request, answers := []byte("GET /fn HTTP/1.1\r\nHost: "+host+"\r\n\r\n"), bufio.NewReader(conn)
	ask := func(read func() error) {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if err := read(); err != nil {
			b.Fatal(err)
		}
	}
	length := 0
	ask(func() error { // starts an instance
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	})
	answer := make([]byte, 4<<10)
	ask(func() (err error) { // all further responses have the same length
		length, err = answers.Read(answer)
		return err
	})
	rest := func() error {
		_, err := io.ReadFull(answers, answer[:length])
		return err
	}
	for range 500 { // until V8 has optimised the code
		ask(rest)
	}
	b.ReportAllocs()
	for b.Loop() {
		ask(rest)
	}
}

// deploySmall runs a platform that has one function, /fn.
func deploySmall(b *testing.B) (host, addr string) {
	c := settings(b)
	c.Data = filepath.Join(enginetest.Reachable(b), "data")
	node, err := enginetest.Toolchain(b).Node(b.Context(), 24)
	if err != nil {
		b.Fatal(err)
	}
	if err := link.Tree(filepath.Join(node, "..", "..", ".."), filepath.Join(c.Data, "runtimes")); err != nil {
		b.Fatal(err)
	}
	d, _ := start(b, c)
	dir := b.TempDir()
	for name, text := range map[string]string{
		"config.json":                       `{"version":3}`,
		"functions/fn.func/index.mjs":       "export default (req, res) => res.end('hello');\n",
		"functions/fn.func/.vc-config.json": `{"runtime":"nodejs24.x","handler":"index.mjs","launcherType":"Nodejs","supportsResponseStreaming":true}`,
	} {
		file := filepath.Join(dir, ".vercel", "output", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	token, _ := d.Token()
	deployed, err := (&client.Client{BaseURL: "http://" + d.Addr(), Token: token}).Deploy(b.Context(), client.DeployOptions{Dir: dir, Project: "small"})
	if err != nil {
		b.Fatal(err)
	}
	return deployed.Host, d.Addr()
}
