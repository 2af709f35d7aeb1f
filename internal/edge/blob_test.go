package edge

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
)

// damage changes the last byte of the content of d on the disk.
func damage(t *testing.T, disk *artifact.Disk, d lateen.Digest) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "link") // a hard link to the same inode
	if err := errors.Join(disk.Link(d, name), os.Chmod(name, 0o600)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A strong entity tag identifies exact bytes (RFC 9110 §8.8.1): the platform answers
// with an error and not with other bytes under that tag.
func TestADamagedFileIsAnErrorOfThePlatform(t *testing.T) {
	for name, size := range map[string]int{"kept in memory": 100, "sent from the disk": smallBlob + 1, "as large as is verified": checkedBlob} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			f := s.file("/f.bin", "application/octet-stream", strings.Repeat("x", size))
			damage(t, s.options.Artifacts.(*artifact.Disk), f.Digest) // newStage opens this type
			s.open()
			resp, body := s.get("/f.bin", "Accept-Encoding: identity")
			is(t, resp, 500, "INTERNAL_SERVER_ERROR")
			has(t, resp.Header, "Etag", "")
			if strings.Contains(body, "xxx") {
				t.Errorf("%d damaged bytes were served", len(body))
			}
		})
	}
}
