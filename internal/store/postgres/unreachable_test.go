package postgres_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/postgres"
)

// road is a relay to the test's server that can be cut, or lose all bytes.
type road struct {
	net.Listener

	mu    sync.Mutex // guards the fields below
	conns []net.Conn
	lost  *atomic.Bool // of the present connections
}

// lane is the end of a connection to which a road carries bytes, until they are lost.
type lane struct {
	net.Conn

	lost *atomic.Bool
}

func (l *lane) Write(p []byte) (int, error) {
	if l.lost.Load() {
		return len(p), nil
	}
	return l.Conn.Write(p)
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
	r := &road{Listener: l, lost: new(atomic.Bool)}
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
		near, far := &lane{conn, r.lost}, &lane{server, r.lost}
		r.mu.Unlock()
		go func() { _, _ = io.Copy(near, server) }()
		go func() { _, _ = io.Copy(far, conn) }()
	}
}

// lose makes r drop all bytes, without an end of its connections. repair ends that for
// further connections.
func (r *road) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost.Store(true)
}

func (r *road) repair() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = new(atomic.Bool)
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

// newTeam returns a team with a name of its own.
func newTeam() *lateen.Team {
	id := lateen.NewID[lateen.TeamID]("team_", time.Now())
	return &lateen.Team{ID: id, Slug: string(id), Name: "Team", CreatedAt: lateen.MillisOf(time.Now())}
}

func TestAStoreWhoseConnectionsAreDeadFailsInTimeAndRecovers(t *testing.T) {
	for name, use := range map[string]func(ctx context.Context, s *store.Store, lose func()) error{
		"before a change": func(ctx context.Context, s *store.Store, lose func()) error {
			lose()
			return s.CreateTeam(ctx, newTeam())
		},
		"in a change": func(ctx context.Context, s *store.Store, lose func()) error {
			return s.Update(ctx, func(q *store.Queries) error {
				lose()
				return q.CreateTeam(ctx, newTeam())
			})
		},
		"at a commit": func(ctx context.Context, s *store.Store, lose func()) error {
			return s.Update(ctx, func(q *store.Queries) error {
				err := q.CreateTeam(ctx, newTeam())
				lose()
				return err
			})
		},
		"before a read": func(ctx context.Context, s *store.Store, lose func()) error {
			lose()
			_, err := s.GetTeam(ctx, "team")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			road, dsn := newRoad(t, newSchema(t))
			s, err := postgres.OpenWithin(t.Context(), dsn, 200*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			defer road.cut()
			if err := within(t, func() error { return use(t.Context(), s, road.lose) }); lateen.CodeOf(err) != lateen.Unavailable {
				t.Errorf("it fails with %v", err)
			}
			road.repair()
			for err := error(lateen.ErrInternal); err != nil; { // each dead connection may fail one change
				err = within(t, func() error { return s.CreateTeam(t.Context(), newTeam()) })
			}
		})
	}
}

// within returns the result of a function that ends.
func within(t *testing.T, f func() error) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
		return nil
	}
}
