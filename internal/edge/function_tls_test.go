package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/authority"
)

// functionClient returns an HTTP client that connects from the address from and trusts
// the authority a. It connects to the edge for every URL.
func (s *stage) functionClient(from net.IP, a *authority.Authority) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.Certificate())
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext(ctx, network, s.address)
		},
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// newAuthority returns an issuer of certificates, and a pool that trusts it.
func newAuthority(t *testing.T) (*authority.Authority, *x509.CertPool) {
	t.Helper()
	a, err := authority.Open(filepath.Join(t.TempDir(), "authority.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.Certificate())
	return a, pool
}

func TestAFunctionReachesItsPlatformByEitherScheme(t *testing.T) {
	a, _ := newAuthority(t)
	for _, scheme := range []string{"http", "https"} { // the scheme of the platform's URLs
		t.Run("platform with scheme "+scheme, func(t *testing.T) {
			s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"), " ", r.Header.Get("X-Real-Ip"))
			})
			s.options.FunctionCertificate, s.options.Scheme = a.For, scheme
			s.options.API = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the API was reached") })
			s.open()
			from := address.Functions.Addr().Next().Next()
			client := s.functionClient(from.AsSlice(), a)
			ask := func(url string, header ...string) (int, string) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				for i := 0; i+1 < len(header); i += 2 {
					if req.Header.Set(header[i], header[i+1]); header[i] == "Host" {
						req.Host = header[i+1]
					}
				}
				resp, err := client.Do(req)
				if err != nil {
					return 0, err.Error()
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return resp.StatusCode, string(body)
			}
			want := scheme + " " + from.String()
			for _, url := range []string{"https://app.localhost/fn", "http://app.localhost/fn", "https://app.localhost:8080/fn"} {
				if status, body := ask(url, "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "ftp"); status != 200 || body != want {
					t.Errorf("%s: %d %q, want %q", url, status, body, want)
				}
			}
			if status, _ := ask("https://app.localhost/v2/user", "Host", "api.localhost"); status != http.StatusForbidden {
				t.Errorf("the API answers a function over TLS: %d", status)
			}
			for _, url := range []string{"https://api.localhost/v2/user", "https://nobody.localhost/"} {
				if status, text := ask(url); status != 0 {
					t.Errorf("%s was reached with a certificate: %d %s", url, status, text)
				}
			}
		})
	}
}

func TestOnlyFunctionsGetTheCertificatesForThem(t *testing.T) {
	a, _ := newAuthority(t)
	s := functionStage(t, func(http.ResponseWriter, *http.Request) { t.Error("the function was called") })
	s.options.FunctionCertificate = a.For
	s.open()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://app.localhost/fn", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := s.functionClient(net.IPv4(127, 0, 0, 1), a).Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("a client got %d over TLS", resp.StatusCode)
	}
}

// A function that connects and sends nothing holds its connection for the time limit of
// a header.
func TestASilentConnectionOfAFunctionIsCutOff(t *testing.T) {
	a, _ := newAuthority(t)
	s := functionStage(t, func(http.ResponseWriter, *http.Request) {})
	s.options.FunctionCertificate, s.options.HeaderTimeout = a.For, 50*time.Millisecond
	s.open()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: address.Functions.Addr().Next().AsSlice()}}).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !ends(c) {
		t.Error("the connection is still open")
	}
}

// A trusted proxy may forward requests of functions.
func TestTheAPIDoesNotAnswerAFunctionBehindAProxy(t *testing.T) {
	s := newStage(t)
	s.options.API = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	s.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	s.open()
	for from, want := range map[string]int{"127.198.0.9": http.StatusForbidden, "9.9.9.9": http.StatusOK} {
		if resp, _ := s.get("/v2/user", "Host: api.localhost", "X-Forwarded-For: "+from); resp.StatusCode != want {
			t.Errorf("%s got %d, want %d", from, resp.StatusCode, want)
		}
	}
}
