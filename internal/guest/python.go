package guest

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
)

//go:embed python
var python embed.FS

// InstallPython is [InstallNode] for the Python agent.
func InstallPython(dir string) (string, error) {
	sum := sha256.New()
	files := map[string][]byte{}
	err := fs.WalkDir(python, "python", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := python.ReadFile(path)
		files[d.Name()] = content
		sum.Write(fmt.Appendf(nil, "%s %d\n%s", path, len(content), content))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the embedded agent: %w", err)
	}
	home := filepath.Join(dir, "python-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if err := publish(home, files); err != nil {
		return "", fmt.Errorf("install the agent: %w", err)
	}
	return filepath.Join(home, "agent.py"), nil
}
