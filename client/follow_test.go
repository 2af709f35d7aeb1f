package client_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

// proxy forwards TCP connections to a server, and can cut them all.
type proxy struct {
	net.Listener

	target string

	mu    sync.Mutex // guards below
	conns []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: listener, target: strings.TrimPrefix(target, "http://")}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := p.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.forward(t, conn) })
		}
	})
	t.Cleanup(func() {
		p.Close()
		p.cut()
		wg.Wait()
	})
	return p
}

func (p *proxy) forward(t *testing.T, conn net.Conn) {
	t.Helper()
	server, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.target)
	if err != nil {
		conn.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, conn, server)
	p.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(server, conn); server.Close() })
	_, _ = io.Copy(conn, server)
	conn.Close()
	wg.Wait()
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
}

// The connection is cut while requests arrive, and while no request arrives. Requests are
// also recorded between connections. Every request arrives once, in order.
func TestAFollowedLogContinuesAfterItsConnectionIsCut(t *testing.T) {
	s, c := connect(t)
	d, err := c.Deploy(t.Context(), client.DeployOptions{Dir: built(t), Project: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, s.URL)
	c.BaseURL = "http://" + p.Addr().String()
	recorded := 0
	record := func(n int) {
		for range n {
			s.Logs.Record(lateen.Record{ID: lateen.RequestID(fmt.Sprint("req_", recorded)), Time: lateen.MillisOf(time.Now()), Project: d.Project, Deployment: d.ID, Method: "GET", Path: "/", Status: 200})
			recorded++
		}
	}
	const total = 30
	read, lost := 0, 0
	q := client.LogQuery{Project: d.Project, After: s.Logs.Latest()}
	record(5)
	for e, err := range c.FollowEntries(t.Context(), q) {
		if err != nil {
			if !errors.Is(err, client.ErrUnreachable) {
				t.Fatal(err)
			}
			lost++
			record(2) // while there is no connection
			continue
		}
		if want := lateen.RequestID(fmt.Sprint("req_", read)); e.ID != want {
			t.Fatalf("request %s arrived, want %s", e.ID, want)
		}
		read++
		switch {
		case read == total:
			p.cut()
		case read == recorded: // the stream is idle
			p.cut()
			record(3)
		case read%4 == 0: // in the middle of the stream
			p.cut()
		}
		if read >= total {
			break
		}
	}
	if lost < 3 {
		t.Errorf("the connection was lost %d times, want 3 at least", lost)
	}
}

// The client replaces a connection without data for 45 seconds, three times the interval
// of the platform's empty lines. The next connection continues at the last cursor.
func TestAFollowedLogReconnectsAfterASilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var afters []string
		began := time.Now()
		var requestedAt []time.Duration
		c := &client.Client{BaseURL: "http://platform.test", HTTP: &http.Client{Transport: stub(func(r *http.Request) (*http.Response, error) {
			afters = append(afters, r.URL.Query().Get("after"))
			requestedAt = append(requestedAt, time.Since(began))
			reader, writer := io.Pipe()
			go func() {
				if len(afters) == 1 { // empty lines, an entry, then silence
					for range 4 {
						time.Sleep(15 * time.Second)
						_, _ = io.WriteString(writer, "\n")
					}
					_, _ = io.WriteString(writer, `{"requestId":"req_1","cursor":"C1"}`+"\n")
				} else {
					_, _ = io.WriteString(writer, `{"requestId":"req_2","cursor":"C2"}`+"\n")
				}
				<-r.Context().Done()
				writer.CloseWithError(r.Context().Err())
			}()
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"X-Lateen-Cursor": {"C0"}}, Body: reader, Request: r}, nil
		})}}
		var got []string
		for e, err := range c.FollowEntries(t.Context(), client.LogQuery{Project: "prj_1"}) {
			if err != nil {
				got = append(got, "lost")
				continue
			}
			if got = append(got, string(e.ID)); e.ID == "req_2" {
				break
			}
		}
		if want := "req_1 lost req_2"; strings.Join(got, " ") != want {
			t.Errorf("the sequence is %v, want %s", got, want)
		}
		if want := "/C1"; strings.Join(afters, "/") != want {
			t.Errorf("the requested cursors are %q, want %s", afters, want)
		}
		if len(requestedAt) != 2 || requestedAt[1] < 105*time.Second || requestedAt[1] > 106*time.Second {
			t.Errorf("connected after %v, want 0 and 60+45 s and a pause", requestedAt)
		}
	})
}
