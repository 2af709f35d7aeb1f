package postgres_test

import (
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store/postgres"
)

// road is a relay to the test's server that can be cut.
type road struct {
	net.Listener

	mu    sync.Mutex // guards the fields below
	conns []net.Conn
}

// newRoad returns a relay to the server of dsn, and the address of the relay.
func newRoad(t *testing.T, dsn string) (*road, string) {
	t.Helper()
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := address.Query()
	socket := filepath.Join(query.Get("host"), ".s.PGSQL.5432")
	if _, err := os.Stat(socket); err != nil {
		t.Skip("the server does not listen on a socket")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &road{Listener: l}
	t.Cleanup(r.cut)
	go r.serve(socket)
	query.Del("host")
	address.Host, address.RawQuery = l.Addr().String(), query.Encode()
	return r, address.String()
}

func (r *road) serve(socket string) {
	for {
		conn, err := r.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", socket)
		if err != nil {
			conn.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, conn, server)
		r.mu.Unlock()
		go func() { _, _ = io.Copy(conn, server) }()
		go func() { _, _ = io.Copy(server, conn) }()
	}
}

// cut closes all connections and accepts no more.
func (r *road) cut() {
	r.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		conn.Close()
	}
}

func TestADatabaseThatDoesNotAnswerIsUnavailable(t *testing.T) {
	road, dsn := newRoad(t, newSchema(t))
	s, err := postgres.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	road.cut()
	for range 3 { // also on open connections
		if _, err := s.GetTeam(t.Context(), "team"); lateen.CodeOf(err) != lateen.Unavailable {
			t.Errorf("a read fails with %v", err)
		}
		team := &lateen.Team{ID: "team_1", Slug: "team", Name: "Team", CreatedAt: lateen.MillisOf(time.Now())}
		if err := s.CreateTeam(t.Context(), team); lateen.CodeOf(err) != lateen.Unavailable {
			t.Errorf("a write fails with %v", err)
		}
	}
}
