package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lateen-dev/lateen/test/link"
)

// direct is the script that runs a function without a platform: node FILE HANDLER
// ADDRESS.
const direct = `import http from "node:http";
import { pathToFileURL } from "node:url";
const [, , file, address] = process.argv;
let handler = await import(pathToFileURL(file));
while (handler.default) handler = handler.default;
const web = async (req, res) => {
  const reply = await handler.fetch(new Request("http://" + req.headers.host + req.url, { headers: req.headers }));
  res.writeHead(reply.status, Object.fromEntries(reply.headers));
  if (reply.body) for await (const chunk of reply.body) res.write(chunk);
  res.end();
};
const where = address.startsWith("/") ? { path: address } : { port: Number(address), host: "127.0.0.1" };
http.createServer(handler.fetch ? web : handler).listen(where, () => process.stdout.write("listening\n"));
`

// directNode starts the smallest function on Node.js alone.
func (b *bench) directNode(ctx context.Context) *target {
	return b.peer(ctx, "Node.js, direct", func(addr, dir string) (string, []string, string, string) {
		file := filepath.Join(dir, "direct.mjs")
		handler := filepath.Join(dir, "handler.mjs")
		_ = write(handler, handlerReqRes) // it would not start without
		return b.tools.nodes[nodeMajor], []string{file, handler, portOf(addr)}, file, direct
	})
}

// plain is a function to be started on Node.js alone, as a process of its own.
type plain struct {
	bench   *bench
	dir     string // to start it in
	handler string // below dir
	node    string
	request request
	err     error

	firsts sample
}

// plainSmall is the smallest function, with a handler of either kind.
func (b *bench) plainSmall(handler string) *plain {
	p := &plain{bench: b, handler: "handler.mjs", node: b.tools.nodes[nodeMajor], request: request{host: "localhost", path: "/"}}
	p.dir, p.err = os.MkdirTemp(b.dir, "plain-")
	p.err = errors.Join(p.err, write(filepath.Join(p.dir, p.handler), handler))
	return p
}

// plainExample lays out the function called name of an example.
func (b *bench) plainExample(example, name, path string) *plain {
	p := &plain{bench: b, request: request{host: "localhost", path: path, header: "Accept: text/html\r\nx-matched-path: " + path + "\r\n"}}
	p.dir, p.err = os.MkdirTemp(b.dir, "plain-")
	if p.err == nil {
		p.err = p.layOut(filepath.Join(b.root, "examples", example), name)
	}
	return p
}

// layOut puts the files of a function of a project into the directory.
func (p *plain) layOut(project, name string) error {
	dir, err := filepath.EvalSymlinks(filepath.Join(project, ".vercel", "output", "functions", name+".func"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, ".vc-config.json"))
	if err != nil {
		return err
	}
	var config struct {
		Runtime     string            `json:"runtime"`
		Handler     string            `json:"handler"`
		FilePathMap map[string]string `json:"filePathMap"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var major int
	if _, err := fmt.Sscanf(config.Runtime, "nodejs%d.x", &major); err != nil || p.bench.tools.nodes[major] == "" {
		return fmt.Errorf("%s names the runtime %q", name, config.Runtime)
	}
	p.handler, p.node = config.Handler, p.bench.tools.nodes[major]
	for to, from := range config.FilePathMap {
		if err := link.File(filepath.Join(project, from), filepath.Join(p.dir, to)); err != nil {
			return err
		}
	}
	return link.Tree(dir, p.dir)
}

// start adds how long Node.js takes from its start to the first byte of the
// function's response. A function that fails is not started again.
func (p *plain) start(ctx context.Context) {
	if p.err != nil {
		return
	}
	took, err := p.once(ctx)
	if err != nil {
		p.err = err
		return
	}
	p.firsts = append(p.firsts, took)
}

func (p *plain) once(ctx context.Context) (time.Duration, error) {
	file, socket := filepath.Join(p.bench.dir, "direct.mjs"), filepath.Join(p.bench.dir, "plain.sock")
	if err := errors.Join(write(file, direct), ignoreAbsent(os.Remove(socket))); err != nil { // of the process before
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.node, file, filepath.Join(p.dir, p.handler), socket)
	cmd.Dir = p.dir
	cmd.Env = append(p.bench.tools.env(), "NODE_ENV=production")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Process.Kill() // it serves until then
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // killed
	}
	defer end()
	if err := awaitLine(stdout, "listening"); err != nil {
		end()
		return 0, fmt.Errorf("node does not listen: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	listens := time.Since(began)
	resp, err := send(ctx, socket, p.request)
	if err == nil && resp.status != http.StatusOK {
		err = fmt.Errorf("node answers %d", resp.status)
	}
	if err != nil {
		return 0, err
	}
	return listens + resp.first, nil
}

// awaitLine reads until a line equals text.
func awaitLine(r io.Reader, text string) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if lines.Text() == text {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
