package worker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// panicking is a backend with a bug.
type panicking struct{ worker.Backend }

func (panicking) Provide(context.Context, *lateen.Function) error { panic("a bug") }

func TestAPanicIsAnErrorInTheLog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "w")
	listener, err := worker.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer // complete when the server has ended
	stop := run(t, worker.NewServer(worker.ServerOptions{Backend: panicking{}, Listener: listener, Events: worker.NewEvents(), Log: slog.New(slog.NewTextHandler(&log, nil))}).Run)
	client := worker.New(worker.ClientOptions{Dial: worker.Dial(socket)})
	if err := client.Provide(t.Context(), &lateen.Function{}); !errors.Is(err, worker.ErrUnreachable) {
		t.Errorf("the error is %v", err)
	}
	stop()
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "a bug") {
		t.Errorf("the log is %q", text)
	}
}
