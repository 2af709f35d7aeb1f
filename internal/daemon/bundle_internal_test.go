package daemon

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/worker"
)

// included returns the files of a bundle that includes an archive of a worker, with the
// error of the inclusion.
func included(t *testing.T, archive io.Reader) (map[string]string, error) {
	t.Helper()
	var out bytes.Buffer
	b := newBundle(&out, "all", time.Now(), newRedactor([]string{"hunter"}))
	included := b.include("worker", archive)
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(&out); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, included
		}
		content, readErr := io.ReadAll(r)
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}

func TestTheFilesOfAWorkerAreBounded(t *testing.T) {
	var archive bytes.Buffer
	b := newBundle(&archive, "", time.Now(), newRedactor(nil))
	b.add("../../log.txt", []byte("the password is hunter"))
	b.add("heap.pprof", make([]byte, maxFile+1))
	b.add("goroutines.txt", bytes.Repeat([]byte("x"), maxFile+1))
	for i := range workerFiles {
		b.add(fmt.Sprint("more", i), nil)
	}
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(archive.Bytes())
	files, err := included(t, &archive)
	if err != nil || files["all/worker/log.txt"] != "the password is REDACTED" || len(files["all/worker/goroutines.txt"]) != maxFile {
		t.Errorf("%v: the log is %.300q, and the stacks have %d bytes", err, files["all/worker/log.txt"], len(files["all/worker/goroutines.txt"]))
	}
	if _, has := files["all/worker/heap.pprof"]; has || !strings.Contains(files["all/errors.txt"], "worker/heap.pprof: it is larger than") || !strings.Contains(files["all/errors.txt"], "worker/goroutines.txt: it is cut off") {
		t.Errorf("errors.txt is %.300q", files["all/errors.txt"])
	}
	if want := workerFiles - 1 + 1; len(files) != want { // without the profile, with errors.txt
		t.Errorf("%d files instead of %d", len(files), want)
	}
	if files, err := included(t, bytes.NewReader(whole[:1<<20])); !errors.Is(err, worker.ErrUnreachable) || files["all/worker/log.txt"] == "" {
		t.Errorf("a cut archive: %v, %d files", err, len(files))
	}
}
