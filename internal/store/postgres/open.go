package postgres

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// openError returns the error of a database that could not be opened, in one line.
func openError(config *pgx.ConnConfig, err error) error {
	if failed, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = &connectError{failed}
	}
	return fmt.Errorf("open database %s on %s: %w", config.Database, config.Host, err)
}

// connectError prints each reason of a failed connection once. The driver's text has a
// line for each attempt: with TLS and without, and for each address of the host.
type connectError struct{ *pgconn.ConnectError }

// Error implements error.
func (e *connectError) Error() string {
	attempts := []error{e.ConnectError.Unwrap()}
	if joined, ok := attempts[0].(interface{ Unwrap() []error }); ok {
		attempts = joined.Unwrap()
	}
	var reasons []string
	for _, attempt := range attempts {
		if reason := reasonOf(attempt); !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return strings.Join(reasons, "; ")
}

// Unwrap returns the driver's error.
func (e *connectError) Unwrap() error { return e.ConnectError }

// reasonOf returns the error of the server, the resolver or the network, without the
// driver's prefixes.
func reasonOf(err error) string {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return server.Error()
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return lookup.Error()
	}
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network.Error()
	}
	return err.Error()
}
