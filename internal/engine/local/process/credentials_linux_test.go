package process

import (
	"os"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/guest/guesttest"
)

func TestDescriptorsInTheFirstMessageAreClosed(t *testing.T) {
	ours, theirs := guesttest.Pair(t)
	if err := passCredentials(ours); err != nil {
		t.Fatal(err)
	}
	passed, err := os.Create(t.TempDir() + "/passed")
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	for _, count := range []int{1, 10, 100} {
		files := make([]*os.File, count)
		for i := range files {
			files[i] = passed
		}
		if _, _, err := theirs.WriteMsgUnix([]byte("words"), rightsOf(files), nil); err != nil {
			t.Fatal(err)
		}
		pid, said, err := firstMessage(ours, time.Now().Add(5*time.Minute))
		if err != nil || pid != os.Getpid() || string(said) != "words" {
			t.Errorf("process %d sent %q, %v", pid, said, err)
		}
		if n := guesttest.Open(t, passed.Name()); n != 1 {
			t.Errorf("with %d descriptors, %d remain open", count, n-1)
		}
	}
}
