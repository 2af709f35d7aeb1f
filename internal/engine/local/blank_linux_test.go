package local

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/pool"
)

// killOnceAddressed kills a frozen process as soon as it has an unread message.
func killOnceAddressed(ctx context.Context, w *process.Process) error {
	conn, err := w.Control().(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	for unread := 0; unread == 0 && err == nil && ctx.Err() == nil; {
		<-time.After(time.Millisecond)
		err = conn.Control(func(fd uintptr) { unread, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	w.Kill()
	return err
}

// bootDying makes the pool of a runtime boot this many frozen processes that end when
// they get a function, and healthy processes after them.
func (s *stage) bootDying(r *process.Runner, count int) {
	s.t.Helper()
	o := pool.Options[*process.Process]{
		Runtimes: []string{r.Name}, Floor: -1, Processors: 1, Burst: new(pool.Burst), Log: s.o.Log,
		Find:  func(context.Context, string) error { return nil },
		Forks: func(string) bool { return false }, Reserved: func() int64 { return 0 }, Spare: func() int64 { return 0 },
		Boot: func(ctx context.Context, _ string, background bool, spawned func(*process.Process)) (*process.Process, error) {
			w, err := s.bootBlank(ctx, r, background, spawned)
			if err == nil && count > 0 {
				count--
				if err = w.Sandboxed.Freeze(); err == nil {
					go func() { _ = killOnceAddressed(s.t.Context(), w) }() // it fails when the engine has closed its end
				}
			}
			return w, err
		},
	}
	pools := pool.New(o)
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		pools.Run(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
	})
	r.Blanks = pools.Of(r.Name)
}

func TestStartsSurviveBlankProcessesThatEndBeforeActivation(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Pool, o.NoZygotes = -1, true })
	spec := s.function("taken", "nodejs24.x", small)
	r, _, err := s.runtimeFor(&spec.Function)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.start(spec, "").Sandboxed.Freeze(); err != nil {
		t.Skip("this host cannot freeze a process")
	}
	s.bootDying(r, instance.MaxClaims-1)
	askProbe(t, s.start(spec, ""), "/")
	s.bootDying(r, instance.MaxClaims)
	if i, err := s.Start(t.Context(), spec); !errors.Is(err, instance.ErrGone) || errors.Is(err, lateen.ErrFunctionFailed) {
		t.Errorf("with dying processes only: %v, %v", i, err)
	}
	dying := s.function("dying", "nodejs24.x", "process.kill(process.pid, 'SIGKILL');\n")
	if _, err := s.Start(t.Context(), dying); !errors.Is(err, lateen.ErrFunctionFailed) {
		t.Errorf("start of a function that ends its process: %v", err)
	}
}
