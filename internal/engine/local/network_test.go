package local

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
)

// caller connects to the address in its query.
const caller = `const { promises: dns } = require('node:dns');
const { connect } = require('node:net');
const { createSocket } = require('node:dgram');
const https = require('node:https');
const { createHash } = require('node:crypto');
const actions = {
  fetch: async ({ url, body }) => {
    const response = await fetch(url, body ? { method: 'POST', body: 'x'.repeat(Number(body)) } : {});
    return response.status + ' ' + await response.text();
  },
  sum: async ({ url }) => createHash('sha256').update(Buffer.from(await (await fetch(url)).arrayBuffer())).digest('hex'),
  secure: ({ url }) => new Promise((resolve, reject) => https.get(url, { rejectUnauthorized: false }, (response) => {
    response.setEncoding('utf8').on('data', resolve);
  }).on('error', reject)),
  lookup: async ({ name }) => (await dns.lookup(name)).address,
  resolve: async ({ name }) => (await dns.resolve4(name)).join(),
  net: ({ host, port }) => new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) }, () => socket.write('hello'));
    socket.on('data', (data) => { resolve(String(data)); socket.destroy(); }).on('error', reject);
  }),
  udp: ({ host, port }) => new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.connect(Number(port), host, () => socket.send('hello'));
    socket.on('message', (data) => { resolve(String(data)); socket.close(); }).on('error', reject);
  }),
};
module.exports = async (req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://x');
  try {
    res.end(String(await actions[pathname.slice(1)](Object.fromEntries(searchParams))));
  } catch (err) {
    res.end('error ' + (err.cause?.code ?? err.code ?? err.message));
  }
};
`

// callerBehind starts caller with a network.
func callerBehind(t *testing.T, network *egress.Network) (engine.Instance, *enginetest.Logs) {
	t.Helper()
	logs := &enginetest.Logs{}
	o := fixture(t)
	o.TreesDir, o.Trees = oneTree(t, caller)
	o.Logs, o.Network = logs, network
	e := running(t, o)
	if !e.host.Sandbox.Networks() {
		t.Skip("this host permits no network namespace")
	}
	i, err := e.Start(t.Context(), enginetest.Spec("node", "index.js", nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(i) })
	return i, logs
}

func TestAFunctionReachesOnlyPermittedAddresses(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<16)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = io.WriteString(w, large)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s %d", r.Method, r.Host, n)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	packets, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", plain.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(b[:n], from)
		}
	}()
	hidden := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the hidden server was reached") }))
	defer hidden.Close()
	i, logs := callerBehind(t, egress.New(egress.Options{Host: []netip.AddrPort{
		netip.MustParseAddrPort(plain.Listener.Addr().String()), netip.MustParseAddrPort(secure.Listener.Addr().String()),
	}}))
	port := func(s *httptest.Server) string {
		_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
		return port
	}
	do := func(action, want string, args ...string) {
		t.Helper()
		query := url.Values{}
		for n := 0; n < len(args); n += 2 {
			query.Set(args[n], args[n+1])
		}
		if _, got := ask(t, i, "GET", "/"+action+"?"+query.Encode(), ""); got != want {
			t.Errorf("%s %v: %s, want %s", action, args, got, want)
		}
	}
	at := "app.localhost:" + port(plain)
	do("fetch", "200 GET "+at+" 0", "url", "http://"+at+"/")
	do("fetch", "200 POST "+at+" 3000000", "url", "http://"+at+"/", "body", "3000000")
	do("sum", fmt.Sprintf("%x", sha256.Sum256([]byte(large))), "url", "http://"+at+"/large")
	do("secure", "GET host.lateen.internal:"+port(secure)+" 0", "url", "https://host.lateen.internal:"+port(secure)+"/")
	do("lookup", "198.18.0.1", "name", "app.localhost")
	do("resolve", "198.18.0.1", "name", "app.localhost")
	do("lookup", "198.18.0.1", "name", "host.lateen.internal")
	do("udp", "hello", "host", "198.18.0.1", "port", port(plain))
	do("net", "error ECONNREFUSED", "host", "198.18.0.1", "port", port(hidden))
	do("net", "error ECONNREFUSED", "host", "127.0.0.1", "port", port(hidden))
	do("udp", "error ECONNREFUSED", "host", "198.18.0.1", "port", port(hidden))
	for _, host := range []string{"169.254.169.254", "10.0.0.1", "192.168.1.1", "fd00:ec2::254"} {
		do("net", "error ECONNREFUSED", "host", host, "port", "80")
		do("net", "error ECONNREFUSED", "host", host, "port", "443")
	}
	told := 0
	for _, line := range logs.Lines() {
		if strings.Contains(line.Text, "a connection to 169.254.169.254:80 was refused") && strings.Contains(line.Text, "--function-networks 169.254.169.254/32") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the refusal was logged %d times: %v", told, logs.Lines())
	}
	counted := map[string]bool{}
	for _, o := range i.Usage().Outbound {
		counted[o.Host] = o.Count > 0
	}
	if diff := cmp.Diff(map[string]bool{"app.localhost": true}, counted); diff != "" {
		t.Error(diff)
	}
}

func TestConnectionBuffersCountAsMemoryOfTheInstance(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	i, _ := callerBehind(t, egress.New(egress.Options{Host: []netip.AddrPort{netip.MustParseAddrPort(l.Addr().String())}}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 5)) // the connection is established
		held, _ := i.(*instance.Instance).Link.Held()
		process, err := i.(*instance.Instance).Sandboxed.Usage()
		if u := i.Usage(); err != nil || held < 32<<10 || u.Peak < process.Peak+held {
			t.Errorf("peak: %d, with %d of the process and %d of its connection, %v", u.Peak, process.Peak, held, err)
		}
		_, _ = c.Write([]byte("seen"))
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if _, got := ask(t, i, "GET", "/net?host=198.18.0.1&port="+port, ""); got != "seen" {
		t.Errorf("got %q", got)
	}
	<-done
}
