package edge

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/lateen-dev/lateen/internal/server"
)

// copyBuffer is the size in bytes of the pieces in which bodies are copied.
const copyBuffer = 32 << 10

// dialer connects to an address.
type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// newOrigins returns the HTTP client of external rewrites. It ignores proxy settings
// and connects with dial only. It speaks no HTTP/2, where an unread response
// would buffer 4 MiB on a connection that all sites share.
func newOrigins(dial dialer, timeout time.Duration) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		DisableCompression:     true, // the client and the origin negotiate the coding
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  timeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		WriteBufferSize:        copyBuffer,
		ReadBufferSize:         copyBuffer,
	}
}

// newInside returns the HTTP client of external rewrites that lead to hosts of this
// platform: like that of other origins, with in-memory connections.
func newInside(s *server.Server, timeout time.Duration) http.RoundTripper {
	inside := newOrigins(func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) }, timeout)
	inside.MaxIdleConns, inside.MaxIdleConnsPerHost, inside.IdleConnTimeout = 256, 16, 30*time.Second
	inside.WriteBufferSize, inside.ReadBufferSize = 0, 0 // default sizes: these connections copy within memory
	return inside
}
