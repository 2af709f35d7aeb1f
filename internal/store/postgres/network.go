package postgres

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"
)

// idleParameter is the time after which the server ends an idle transaction. Without a
// limit a client that the network has cut off keeps its row locks.
const idleParameter = "idle_in_transaction_session_timeout"

// unacknowledged is the time after which a connection breaks whose packets the other
// end does not acknowledge.
const unacknowledged = 15 * time.Second

// detectBreaks makes the server and this host detect a broken network, which sends no
// signal, by probes on idle connections and a limit on unacknowledged packets.
func detectBreaks(config *pgx.ConnConfig) {
	probes := net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 5 * time.Second, Count: 4}
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
	setDefault(config, "tcp_keepalives_idle", seconds(probes.Idle))
	setDefault(config, "tcp_keepalives_interval", seconds(probes.Interval))
	setDefault(config, "tcp_keepalives_count", strconv.Itoa(probes.Count))
	setDefault(config, "tcp_user_timeout", strconv.FormatInt(unacknowledged.Milliseconds(), 10))
	config.DialFunc = (&net.Dialer{KeepAliveConfig: probes, Control: limitUnacknowledged}).DialContext
}

// limitUnacknowledged sets the limit on unacknowledged packets of a new socket.
func limitUnacknowledged(network, _ string, conn syscall.RawConn) (err error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	controlErr := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unacknowledgedOption, int(unacknowledged/unacknowledgedUnit)) //nolint:gosec // a descriptor
	})
	return errors.Join(err, controlErr)
}

// setDefault sets a parameter of sessions unless the address of the database does.
func setDefault(config *pgx.ConnConfig, parameter, value string) {
	if _, set := config.RuntimeParams[parameter]; !set {
		config.RuntimeParams[parameter] = value
	}
}

// answers checks a connection that was idle. It closes one that does not answer in time,
// so that the driver connects again. It returns false: no further check is needed.
func answers(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration <= pingAfter {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return p.Conn.PgConn().Ping(ctx) != nil // the driver's check fails at once then
}
