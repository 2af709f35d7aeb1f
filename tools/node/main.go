// Command node puts Node.js, npm and npx into a directory, from the npm
// registry alone: `go run ./tools/node DIR`. Building the examples needs them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/toolchain"
)

const (
	nodeMajor   = 24
	npmVersions = "11"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := install(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func install(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want the directory to install into")
	}
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	settings, err := config.Load(config.Getenv)
	if err != nil {
		return err
	}
	tools, err := toolchain.New(toolchain.Options{Dir: filepath.Join(dir, "packages"), Registry: settings.Registry})
	if err != nil {
		return err
	}
	node, err := tools.Node(ctx, nodeMajor)
	if err != nil {
		return err
	}
	npm, err := tools.Package(ctx, "npm", npmVersions)
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	for name, target := range map[string]string{"node": node, "npm": filepath.Join(npm, "bin", "npm-cli.js"), "npx": filepath.Join(npm, "bin", "npx-cli.js")} {
		if err := link(target, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return nil
}

// link makes name a symbolic link to target, which is executable from then on.
func link(target, name string) error {
	if err := os.Chmod(target, 0o755); err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.Symlink(target, name)
}
