package guest

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
)

//go:embed bun/serve.mjs
var bun []byte

// InstallBun writes the server for functions in Bun, which runs behind a relay, into a
// directory of dir, and returns its path.
func InstallBun(dir string) (string, error) {
	decoded, err := agent.ReadFile("agent/decoded.cjs") // part of the Node.js agent that Bun runs unchanged
	if err != nil {
		return "", fmt.Errorf("read the embedded agent: %w", err)
	}
	sum := sha256.Sum256(append(slices.Clone(bun), decoded...))
	home := filepath.Join(dir, "bun-"+hex.EncodeToString(sum[:8]))
	if err := publish(home, map[string][]byte{"serve.mjs": bun, "decoded.cjs": decoded}); err != nil {
		return "", fmt.Errorf("install the agent: %w", err)
	}
	return filepath.Join(home, "serve.mjs"), nil
}
