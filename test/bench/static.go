package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lateen-dev/lateen/test/bench/proc"
)

func staticChapter() chapter {
	return chapter{
		name: "static", title: "Static files",
		method: `The same bytes from Lateen, nginx and Caddy over HTTP/1.1 on loopback, by ` + "`wrk -t1`" + ` with persistent connections: three
alternating rounds for each file and number of connections; the values are medians of the rounds (max: of all). Lateen compressed
the bodies at deployment, and the peers serve the same bytes from files in the same directory (` + "`gzip_static`, `brotli_static`, `precompressed`" + `), so that no
server compresses while serving. nginx: a worker for each processor, ` + "`sendfile`, `tcp_nopush`, `open_file_cache`" + `; Caddy: its
defaults. **The peers write no access log; Lateen does its full work**: it finds the deployment by its
host, matches routes, counts metrics and keeps a record of each request on disk. CPU is that of the server's processes,
kernel included, for 10 000 requests.`,
		measure: measureStatic,
	}
}

// staticFile is a file to be served.
type staticFile struct {
	caption  string
	path     string
	encoding string // Accept-Encoding of requests; "" is none
}

func (f staticFile) header() string {
	if f.encoding == "" {
		return ""
	}
	return "Accept-Encoding: " + f.encoding
}

func measureStatic(ctx context.Context, b *bench) ([]table, error) {
	files := []staticFile{
		{"An HTML page of 4 KiB.", "/page.html", ""},
		{"A script of 100 KiB, as brotli.", "/script.js", "br"},
		{"The same script, as gzip.", "/script.js", "gzip"},
		{"A file of 10 MiB.", "/large.bin", ""},
	}
	p, err := b.up(ctx)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	dir := filepath.Join(b.dir, "static")
	if err := b.makeFiles(filepath.Join(dir, ".vercel", "output", "static")); err != nil {
		return nil, err
	}
	if err := output(dir, nil); err != nil {
		return nil, err
	}
	s, err := p.deploy(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := p.waitIdle(ctx); err != nil {
		return nil, err
	}
	www, err := b.copyFor(ctx, s, dir)
	if err != nil {
		return nil, err
	}
	targets := []*target{{name: "Lateen", addr: p.addr, host: s.host, kind: ours, process: p.process}, b.nginx(ctx, www), b.caddy(ctx, www)}
	for _, t := range targets[1:] {
		defer t.process.stop()
	}
	var tables []table
	for _, f := range files {
		same := agree(ctx, targets, f)
		aims := []aim{{f.path, f.header(), 1, 1}, {f.path, f.header(), 32, 1}}
		loads, err := b.compare(ctx, same, aims, b.times(3))
		if err != nil {
			return tables, err
		}
		t := comparisonTable(same, aims, loads)
		t.caption = f.caption
		tables = append(tables, t)
	}
	return tables, nil
}

// makeFiles writes the files of the site. The script is real code from Next.js's
// example, cut to size.
func (b *bench) makeFiles(dir string) error {
	scripts, err := filepath.Glob(filepath.Join(b.root, "examples", "nextjs", ".vercel", "output", "static", "_next", "static", "chunks", "*.js"))
	if err != nil {
		return err
	}
	var code bytes.Buffer
	for _, name := range scripts {
		code.WriteString(proc.Text(name))
	}
	if code.Len() < 100<<10 {
		return fmt.Errorf("the example nextjs has %d bytes of scripts: run `make examples`", code.Len())
	}
	page := "<!doctype html>\n<title>Bench</title>\n" + strings.Repeat("<p>A page is measured by its bytes.</p>\n", 110)
	large := make([]byte, 10<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(large) // it never fails
	return errors.Join(
		write(filepath.Join(dir, "page.html"), page[:4<<10]),
		write(filepath.Join(dir, "script.js"), code.String()[:100<<10]),
		write(filepath.Join(dir, "large.bin"), string(large)),
	)
}

// copyFor lays out the site for the peers, with the compressed bodies that
// Lateen answers with.
func (b *bench) copyFor(ctx context.Context, s *site, dir string) (string, error) {
	www := filepath.Join(b.dir, "www")
	if err := os.CopyFS(www, os.DirFS(filepath.Join(dir, ".vercel", "output", "static"))); err != nil {
		return "", err
	}
	for encoding, ending := range map[string]string{"br": ".br", "gzip": ".gz"} {
		resp, err := s.get(ctx, "/script.js", "Accept-Encoding: "+encoding+"\r\n")
		if err != nil {
			return "", err
		}
		if resp.header.Get("Content-Encoding") != encoding {
			return "", fmt.Errorf("/script.js comes as %q, not %s", resp.header.Get("Content-Encoding"), encoding)
		}
		if err := write(filepath.Join(www, "script.js"+ending), string(resp.body)); err != nil {
			return "", err
		}
	}
	return www, filepath.WalkDir(www, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chmod(name, 0o755)) //nolint:gosec // nginx's workers read as an unprivileged user
	})
}

// agree returns the targets, those with an error that do not answer with the
// same bytes as the first.
func agree(ctx context.Context, targets []*target, f staticFile) []*target {
	var out []*target
	var want []byte
	for _, t := range targets {
		t := *t
		out = append(out, &t)
		if t.err != nil {
			continue
		}
		header := ""
		if f.encoding != "" {
			header = f.header() + "\r\n"
		}
		resp, err := send(ctx, t.addr, request{host: t.host, path: f.path, header: header})
		switch {
		case err != nil:
			out[len(out)-1].err = err
		case resp.status != http.StatusOK:
			out[len(out)-1].err = fmt.Errorf("%s answers %d", f.path, resp.status)
		case resp.header.Get("Content-Encoding") != f.encoding:
			out[len(out)-1].err = fmt.Errorf("%s does not come as %s", f.path, f.encoding)
		case want != nil && !bytes.Equal(want, resp.body):
			out[len(out)-1].err = fmt.Errorf("%s has other bytes", f.path)
		case want == nil:
			want = resp.body
		}
	}
	return out
}

const nginxConfig = `daemon off; worker_processes %d; pid nginx.pid; error_log stderr warn;%s
events { worker_connections 1024; }
http {
	types { text/html html; text/javascript js; application/octet-stream bin; }
	access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
	open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;
	gzip_static on; gzip_vary on;%s
	client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
	server { listen %s; root %s; }
}
`

// nginx starts nginx on the files in www.
func (b *bench) nginx(ctx context.Context, www string) *target {
	return b.peer(ctx, "nginx", func(addr, dir string) (string, []string, string, string) {
		load, use := "", ""
		if b.tools.brotli != "" {
			load, use = "\nload_module "+b.tools.brotli+";", " brotli_static on;"
		}
		config := fmt.Sprintf(nginxConfig, runtime.NumCPU(), load, use, addr, www)
		file := filepath.Join(dir, "nginx.conf")
		return b.tools.nginx, []string{"-e", "stderr", "-p", dir, "-c", file}, file, config
	})
}

const caddyConfig = `{
	admin off
	auto_https off
}
http://%s {
	root * %s
	file_server {
		precompressed br gzip
	}
}
`

// caddy starts Caddy on the files in www.
func (b *bench) caddy(ctx context.Context, www string) *target {
	return b.peer(ctx, "Caddy", func(addr, dir string) (string, []string, string, string) {
		file := filepath.Join(dir, "Caddyfile")
		return b.tools.caddy, []string{"run", "--adapter", "caddyfile", "--config", file}, file, fmt.Sprintf(caddyConfig, addr, www)
	})
}

// peer starts a server that has one configuration file and a directory of its
// own. One that does not start is a target that says why.
func (b *bench) peer(ctx context.Context, name string, configure func(addr, dir string) (program string, args []string, file, config string)) *target {
	t := &target{name: name}
	t.err = func() error {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		t.addr = "127.0.0.1:" + port
		t.host = t.addr
		dir, err := os.MkdirTemp(b.dir, "peer-")
		if err != nil {
			return err
		}
		program, args, file, config := configure(t.addr, dir)
		if err := write(file, config); err != nil {
			return err
		}
		env := append(slices.Clone(b.tools.env()), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		if t.process, err = b.spawn(ctx, name, program, args, env); err != nil {
			return err
		}
		if err := t.process.listening(ctx, t.addr); err != nil {
			return err
		}
		return pause(ctx, 100*time.Millisecond) // nginx's workers come after its listener
	}()
	return t
}
