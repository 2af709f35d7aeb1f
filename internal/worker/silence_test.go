package worker_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// noticed is the longest time until both processes notice a dead connection, as
// docs/how-to/roles.md has it.
const noticed = 20 * time.Second

// pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	dials  []*mortal // in order
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements [net.Listener].
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

// Addr implements [net.Listener].
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	conn := &mortal{Conn: here, dead: make(chan struct{})}
	p.dials = append(p.dials, conn)
	return conn, nil
}

// mortal is a connection that, once it is dead, stays open and carries nothing.
type mortal struct {
	net.Conn

	dead chan struct{} // closed at its death
}

// Read implements [net.Conn].
func (m *mortal) Read(b []byte) (int, error) {
	for {
		n, err := m.Conn.Read(b)
		select {
		case <-m.dead:
			if err == nil {
				continue
			}
		default:
		}
		return n, err
	}
}

// Write implements [net.Conn].
func (m *mortal) Write(b []byte) (int, error) {
	select {
	case <-m.dead:
		return len(b), nil
	default:
		return m.Conn.Write(b)
	}
}

// Close implements [net.Conn]. The other end of a dead connection does not notice it.
func (m *mortal) Close() error {
	select {
	case <-m.dead:
		return nil
	default:
		return m.Conn.Close()
	}
}

// canceled is a backend that tells the times at which invocations were canceled.
type canceled struct {
	generation

	at chan time.Time
}

func (c *canceled) Invoke(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
	resp, err := c.generation.Invoke(ctx, spec, req, inv)
	if ctx.Err() != nil {
		c.at <- time.Now()
	}
	return resp, err
}

// startOn runs a worker on connections in memory, and returns a client of it.
func startOn(t *testing.T, p *pipes) (*canceled, *worker.Client) {
	g := &canceled{generation{name: "worker", begun: make(chan string, 8), finish: make(chan struct{})}, make(chan time.Time, 8)}
	run(t, worker.NewServer(worker.ServerOptions{Backend: g, Listener: p, Events: worker.NewEvents()}).Run)
	return g, worker.New(worker.ClientOptions{Dial: p.dial})
}

func TestASilentConnectionStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		g, c := startOn(t, p)
		(<-begin(t, c, http.MethodGet, "/")).expect(t, "worker", nil)
		time.Sleep(time.Hour) // synthetic time, without an invocation
		waits := begin(t, c, http.MethodGet, "/runs")
		<-g.begun
		time.Sleep(time.Hour) // in one
		close(g.finish)
		(<-waits).expect(t, "worker", nil)
		if n := len(p.dials); n != 1 {
			t.Errorf("there were %d connections", n)
		}
	})
}

func TestADeadConnectionIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		g, c := startOn(t, p)
		waits := begin(t, c, http.MethodGet, "/runs")
		<-g.begun
		time.Sleep(time.Hour + time.Millisecond) // a moment after a ping
		died := time.Now()
		close(p.dials[0].dead)
		result := <-waits
		if !errors.Is(result.err, worker.ErrLost) {
			t.Errorf("the invocation ends with %v", result.err)
		}
		if took := time.Since(died); took > noticed {
			t.Errorf("the control process notices it after %v", took)
		}
		if took := (<-g.at).Sub(died); took > noticed {
			t.Errorf("the worker notices it after %v", took)
		}
		close(g.finish)
		(<-begin(t, c, http.MethodGet, "/")).expect(t, "worker", nil)
		if n := len(p.dials); n != 2 {
			t.Errorf("there were %d connections", n)
		}
	})
}
