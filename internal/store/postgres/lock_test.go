package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lateen-dev/lateen/internal/store/postgres"
)

// holders selects the server processes that have the lock of a platform.
const holders = `FROM pg_locks WHERE locktype = 'advisory' AND granted
	AND classid::bigint = hashtext('lateen.platform')::bigint & 4294967295
	AND objid::bigint = hashtext(current_schema())::bigint & 4294967295`

// held is a database that is held during the test, with a second connection.
type held struct {
	t     *testing.T
	dsn   string
	db    *sql.DB
	ended chan error
}

func hold(t *testing.T) *held {
	t.Helper()
	dsn := newSchema(t)
	return holdAs(t, dsn, dsn)
}

// holdAs holds the database of dsn through another address.
func holdAs(t *testing.T, dsn, through string) *held {
	t.Helper()
	h := &held{t: t, dsn: dsn, ended: make(chan error, 1)}
	own, err := postgres.Acquire(t.Context(), through)
	if err != nil {
		t.Fatal(err)
	}
	if h.db, err = sql.Open("pgx", h.dsn); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ended <- own.Run(ctx, slog.New(slog.NewTextHandler(t.Output(), nil)))
	}()
	t.Cleanup(func() {
		stop()
		<-done
		_, _ = own.Close(), h.db.Close()
	})
	return h
}

// holder returns the server process that has the lock; 0 is none.
func (h *held) holder() (pid int) {
	h.t.Helper()
	if err := h.db.QueryRowContext(h.t.Context(), "SELECT coalesce(max(pid), 0) "+holders).Scan(&pid); err != nil {
		h.t.Fatal(err)
	}
	return pid
}

// breakConnection terminates the connection that has the lock.
func (h *held) breakConnection() {
	h.t.Helper()
	if _, err := h.db.ExecContext(h.t.Context(), "SELECT pg_terminate_backend(pid) "+holders); err != nil {
		h.t.Fatal(err)
	}
}

func TestALockWhoseConnectionBreaksIsTakenAgain(t *testing.T) {
	h := hold(t)
	first := h.holder()
	h.breakConnection()
	for pid := first; pid == 0 || pid == first; pid = h.holder() {
		select {
		case <-time.After(10 * time.Millisecond):
		case err := <-h.ended:
			t.Fatal("it is held no longer: ", err)
		}
	}
	if _, err := postgres.Acquire(t.Context(), h.dsn); !errors.Is(err, postgres.ErrInUse) {
		t.Errorf("another process that wants it gets %v", err)
	}
}

func TestALockThatAnotherProcessHasTakenEndsTheHolder(t *testing.T) {
	h := hold(t)
	other, err := h.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken := make(chan error, 1)
	go func() { // queues for the lock
		_, err := other.ExecContext(t.Context(), "SELECT pg_advisory_lock(hashtext('lateen.platform'), hashtext(current_schema()))")
		taken <- err
	}()
	for waits := 0; waits == 0; {
		if err := h.db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	h.breakConnection()
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	if err := <-h.ended; !errors.Is(err, postgres.ErrInUse) {
		t.Errorf("the holder ends with %v", err)
	}
}

// halfOpen relays connections to the server of dsn. It returns the address of the
// relay, and a function that closes all connections on the client's side without
// notice to the server.
func halfOpen(t *testing.T, dsn string) (through string, breakAll func()) {
	t.Helper()
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	network, server := pgconn.NetworkAddress(config.Host, config.Port)
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var near, far []net.Conn
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial(network, server)
			if err != nil {
				client.Close()
				return
			}
			mu.Lock()
			near, far = append(near, client), append(far, behind)
			mu.Unlock()
			go io.Copy(client, behind)
			go io.Copy(behind, client)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range append(near, far...) {
			c.Close()
		}
	})
	query := address.Query()
	query.Del("host")
	query.Del("port")
	address.RawQuery, address.Host = query.Encode(), l.Addr().String()
	return address.String(), func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range near {
			c.Close()
		}
		near = nil
	}
}

func TestALockIsTakenFromAnOwnBrokenConnection(t *testing.T) {
	dsn := newSchema(t)
	through, breakAll := halfOpen(t, dsn)
	h := holdAs(t, dsn, through)
	first := h.holder()
	breakAll()
	for pid := first; pid == 0 || pid == first; pid = h.holder() {
		select {
		case <-time.After(10 * time.Millisecond):
		case err := <-h.ended:
			t.Fatal("it is held no longer: ", err)
		}
	}
}
