package cli_test

import (
	"os"
	"testing"
	"time"
)

func TestDev(t *testing.T) {
	file := os.Getenv("DEVFILE")
	if file == "" {
		t.Skip()
	}
	p := newPlatform(t)
	os.WriteFile(file, []byte("export LATEEN_API="+p.url+" LATEEN_TOKEN="+p.Token+"\n"), 0o600)
	for {
		if _, err := os.Stat(file); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}
