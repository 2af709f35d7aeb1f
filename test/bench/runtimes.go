package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// foreign is the smallest function of another runtime than Node.js.
type foreign struct {
	name, project string
	config        string                                                // .vc-config.json
	source        map[string]string                                     // files by name
	build         func(ctx context.Context, b *bench, dir string) error // builds binaries; nil: none
}

const (
	programSource = `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") })
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
`
	moduleSource = `package main

import "os"

func main() { os.Stdout.WriteString("Content-Type: text/plain\n\nhello\n") }
`
	wsgiSource = `def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\n"]
`
)

// foreigners are the functions of other runtimes: the names of Python and Bun are
// those of the versions that the host or the registry has.
func foreigners(ctx context.Context, b *bench) []foreign {
	python := "python3.11"
	if fields := strings.Fields(b.output(ctx, "python3", "--version")); len(fields) == 2 {
		if parts := strings.Split(fields[1], "."); len(parts) > 1 {
			python = "python3." + parts[1]
		}
	}
	return []foreign{
		{"Python, WSGI", "python", `{"runtime":"` + python + `","handler":"index.py"}`, map[string]string{"index.py": wsgiSource}, nil},
		{"Bun, fetch", "bun", `{"runtime":"bun1.x","handler":"index.js","launcherType":"Nodejs"}`, map[string]string{"index.js": handlerFetch}, nil},
		{"Go, executable", "go", `{"runtime":"executable","handler":"server"}`, nil, compiled("server", programSource)},
		{"WebAssembly", "wasm", `{"runtime":"wasi","handler":"hello.wasm"}`, nil, compiled("hello.wasm", moduleSource, "GOOS=wasip1", "GOARCH=wasm")},
	}
}

// compiled makes a program from a Go source.
func compiled(name, source string, env ...string) func(ctx context.Context, b *bench, dir string) error {
	return func(ctx context.Context, b *bench, dir string) error {
		file := filepath.Join(b.dir, "source-"+name, "main.go")
		if err := write(file, source); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, name), file)
		cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w: %s", err, out)
		}
		return nil
	}
}

// deployForeign deploys a function of another runtime, at /hello.
func (p *platform) deployForeign(ctx context.Context, f foreign) (*site, error) {
	dir := filepath.Join(p.dir, "sites", f.project)
	function := filepath.Join(dir, ".vercel", "output", "functions", "hello.func")
	files := map[string]string{"functions/hello.func/.vc-config.json": f.config}
	for name, text := range f.source {
		files["functions/hello.func/"+name] = text
	}
	if err := output(dir, files); err != nil {
		return nil, err
	}
	if f.build != nil {
		if err := f.build(ctx, p.bench, function); err != nil {
			return nil, err
		}
	}
	return p.deploy(ctx, dir)
}
