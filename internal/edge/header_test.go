package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

func TestClientsCannotSetFieldsOfThePlatform(t *testing.T) {
	var seen http.Header
	s := functionStage(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }).open()
	hostile := []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded", "X-Real-Ip", "X-Matched-Path",
		"X-Now-Route-Matches", "X-Vercel-Id", "X-Vercel-Deployment-Url", "X-Vercel-Forwarded-For", "X-Vercel-Proxied-For",
		"X-Vercel-Internal-Invocation-Id", "X-Vercel-Internal-Anything", "X-Vercel-Sc-Host", "X-Vercel-Sc-Headers", "X-Vercel-Ip-Country",
		"X-Vercel-Oidc-Token", "X-Vercel-Cron-Schedule", "X-Vercel-Ja4-Digest", "X-Middleware-Subrequest", "X-Middleware-Next",
		"X-Middleware-Rewrite", "X-Middleware-Override-Headers", "X-Middleware-Set-Cookie", "X-Invoke-Path", "X-Invoke-Status",
		"Next-Resume", "X-Next-Resume-State-Length", "X-Lateen-Anything", "X-Vercel-Isr",
	}
	var headers []string
	for _, name := range hostile {
		headers = append(headers, strings.ToLower(name)+": evil", name+": evil", strings.ReplaceAll(name, "-", "_")+": evil")
	}
	kept := []string{"X-Middleware-Prefetch", "X-Prerender-Revalidate", "X-Vercel-Signature", "X-Vercel-Protection-Bypass", "Rsc", "Next-Action"}
	for _, name := range kept {
		headers = append(headers, name+": mine")
	}
	s.get("/fn", headers...)
	for name, values := range seen {
		if strings.Contains(strings.Join(values, " "), "evil") {
			t.Errorf("the function got %s: %q", name, values)
		}
	}
	for _, name := range kept {
		has(t, seen, name, "mine")
	}
}

func TestForwardedFieldsCountOnlyFromTrustedProxies(t *testing.T) {
	for name, c := range map[string]struct {
		trusted       string
		headers       []string
		ip, host, url string
	}{
		"an untrusted peer":           {"10.0.0.0/8", []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: other.localhost", "X-Forwarded-Proto: https"}, "127.0.0.1", "app.localhost", "http"},
		"a proxy":                     {"127.0.0.0/8", []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: other.localhost", "X-Forwarded-Proto: https"}, "1.2.3.4", "other.localhost", "https"},
		"a client that forges fields": {"127.0.0.0/8", []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4", "X-Forwarded-Proto: ftp"}, "1.2.3.4", "app.localhost", "http"},
		"a chain of proxies":          {"127.0.0.0/8", []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 127.0.0.9", "X-Forwarded-For: 127.0.0.8"}, "1.2.3.4", "app.localhost", "http"},
		"a function behind a proxy":   {"127.0.0.0/8", []string{"X-Forwarded-For: 6.6.6.6, 127.198.0.7"}, "127.198.0.7", "app.localhost", "http"},
		"an invalid element":          {"127.0.0.0/8", []string{"X-Forwarded-For: 1.2.3.4, nonsense"}, "127.0.0.1", "app.localhost", "http"},
		"an IPv6 client":              {"127.0.0.0/8", []string{"X-Forwarded-For: 2001:db8::1"}, "2001:db8::1", "app.localhost", "http"},
		"an invalid host":             {"127.0.0.0/8", []string{"X-Forwarded-Host: a/b?c"}, "127.0.0.1", "app.localhost", "http"},
		"a proxy without fields":      {"127.0.0.0/8", nil, "127.0.0.1", "app.localhost", "http"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen http.Header
			s := functionStage(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
			s.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
			s.open()
			s.edge.Route(map[string]lateen.Binding{"other.localhost": {Deployment: "dpl_1"}})
			resp, _ := s.get("/fn", c.headers...)
			is(t, resp, 200, "")
			has(t, seen, "X-Forwarded-For", c.ip)
			has(t, seen, "X-Real-Ip", c.ip)
			has(t, seen, "X-Forwarded-Host", c.host)
			has(t, seen, "X-Forwarded-Proto", c.url)
			if got := s.record(0).ClientIP; got != c.ip {
				t.Errorf("recorded client: %s", got)
			}
			hsts := map[string]string{"https": "max-age=63072000"}[c.url]
			has(t, resp.Header, "Strict-Transport-Security", hsts)
		})
	}
}

func TestTheAPIGetsTheClientOfATrustedProxy(t *testing.T) {
	for name, proxies := range map[string][]netip.Prefix{"127.0.0.1": nil, "203.0.113.9": {netip.MustParsePrefix("127.0.0.1/32")}} {
		s := newStage(t)
		s.options.TrustedProxies = proxies
		s.options.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
		s.open()
		if _, body := s.get("/", "Host: localhost", "X-Forwarded-For: 203.0.113.9"); !strings.HasPrefix(body, name+":") {
			t.Errorf("the API sees %s, want %s", body, name)
		}
	}
}

func TestFieldsForThePlatformAreRemovedFromResponses(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for name, value := range map[string]string{
			"Server": "mine", "X-Vercel-Id": "mine", "X-Vercel-Cache": "HIT", "X-Vercel-Error": "MINE", "Vercel-Cdn-Cache-Control": "max-age=9",
			"Vercel-Cache-Tag": "a,b", "X-Next-Cache-Tags": "a", "X-Vercel-Internal-X": "1", "X-Lateen-X": "1", "X-Middleware-Next": "1", "Cdn-Cache-Control": "max-age=5",
			"Keep-Alive": "timeout=5", "X-Hop": "1", "Connection": "X-Hop", "X-Own": "1",
		} {
			h.Set(name, value)
		}
		h.Add("Set-Cookie", "a=1")
		h.Add("Set-Cookie", "b=2")
	}).open()
	resp, _ := s.get("/fn")
	for name, value := range map[string]string{
		"Server": "Lateen", "X-Vercel-Id": "dev1::" + string(s.record(0).ID), "X-Vercel-Cache": "MISS", "X-Vercel-Error": "",
		"Vercel-Cdn-Cache-Control": "", "Vercel-Cache-Tag": "", "X-Next-Cache-Tags": "", "X-Vercel-Internal-X": "", "X-Lateen-X": "", "X-Middleware-Next": "",
		"Cdn-Cache-Control": "max-age=5", "Keep-Alive": "", "X-Hop": "", "Connection": "", "X-Own": "1", "Set-Cookie": "a=1 | b=2",
	} {
		has(t, resp.Header, name, value)
	}
}

func TestXLateenStartIsSentIfTheProjectEnablesIt(t *testing.T) {
	s := functionStage(t, func(http.ResponseWriter, *http.Request) {})
	fleet, start := s.options.Fleet, lateen.Invocation{}
	s.options.Fleet = invoker(func(ctx context.Context, spec lateen.FunctionSpec, req *http.Request, inv *lateen.Invocation) (*http.Response, error) {
		resp, err := fleet.Invoke(ctx, spec, req, inv)
		*inv = start
		return resp, err
	})
	s.file("/file", "text/plain", "x")
	s.open()
	for _, c := range []struct {
		inv  lateen.Invocation
		want string
	}{
		{lateen.Invocation{Start: lateen.StartWarm, Queue: 40 * time.Microsecond, Handler: time.Second}, "warm"},
		{lateen.Invocation{Start: lateen.StartBlank, Load: 1900 * time.Microsecond}, "blank;load=1.9ms"},
		{lateen.Invocation{Start: lateen.StartCold, Queue: 90 * time.Microsecond, Claim: 93 * time.Millisecond, Load: 1234567 * time.Microsecond}, "cold;queue=0.1ms;claim=93.0ms;load=1234.6ms"},
		{lateen.Invocation{}, ""},
	} {
		start = c.inv
		for _, shown := range []bool{false, true} {
			site := *s.site
			site.ShowsStart = shown
			s.site = &site
			s.edge.Apply([]lateen.Event{{Type: lateen.ProjectUpdated, Project: site.Project}})
			want := c.want
			if !shown {
				want = ""
			}
			resp, _ := s.get("/fn")
			has(t, resp.Header, "X-Lateen-Start", want)
		}
	}
	resp, _ := s.get("/file")
	has(t, resp.Header, "X-Lateen-Start", "")
}

func TestRoutesCannotBreakAResponse(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte("a response "))
		http.NewResponseController(w).Flush()
		w.Write([]byte("of unknown length"))
	})
	s.manifest.Routes = []lateen.Route{{Src: ".*", Continue: true, Important: true, Headers: map[string]string{
		"content-length": "3", "transfer-encoding": "gzip", "connection": "x-own", "upgrade": "websocket", "x-own": "1", "x-other": "2",
	}}}
	s.open()
	resp, body := s.get("/fn")
	if is(t, resp, 200, ""); body != "a response of unknown length" {
		t.Errorf("got %q", body)
	}
	has(t, resp.Header, "Upgrade", "")
	has(t, resp.Header, "X-Other", "2")
}

func TestOnlyGeneratedHostsAreHiddenFromSearchEngines(t *testing.T) {
	for _, c := range []struct{ target, host, want string }{
		{"production", "app.localhost", ""},
		{"production", "app-abc-team.localhost", "noindex"},
		{"preview", "app-git-x-team.localhost", "noindex"},
		{"preview", "app-abc-team.localhost", "noindex"},
		{"preview", "next.example.com", ""},
		{"production", "example.com", ""},
	} {
		s := newStage(t)
		s.file("/f.txt", "text/plain", "x")
		s.site.Target = lateen.Environment(c.target)
		s.open()
		s.edge.Route(map[string]lateen.Binding{c.host: {Deployment: "dpl_1"}})
		resp, _ := s.get("/f.txt", "Host: "+c.host)
		has(t, resp.Header, "X-Robots-Tag", c.want)
	}
}

func TestMalformedRequestsAreAnsweredAndHarmless(t *testing.T) {
	s := newStage(t)
	s.file("/index.html", "text/html", "front page")
	s.open()
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n":                                    "400", // no Host field
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n":              "400",
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n":                       "400",
		"GET /%zz HTTP/1.1\r\nHost: app.localhost\r\n\r\n":          "400",
		"GET http://app.localhost/ HTTP/1.1\r\nHost: other\r\n\r\n": "200", // the target wins (RFC 9112 §3.2.2)
		"GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n":             "200",
		"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": "405",
		"POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n":                     "501",
		"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello":              "400",
		"GET / HTTP/1.1\r\nHost: app.localhost\r\nX Y: 1\r\n\r\n":                                                    "400",
		"GET / HTTP/1.1\r\nHost: app.localhost\r\nX-A: 1\x00\r\n\r\n":                                                "400",
		"OPTIONS * HTTP/1.1\r\nHost: app.localhost\r\n\r\n":                                                          "200",
		"CONNECT app.localhost:80 HTTP/1.1\r\nHost: app.localhost\r\n\r\n":                                           "405",
		"TRACE / HTTP/1.1\r\nHost: app.localhost\r\n\r\n":                                                            "405",
		"GET /../../etc/passwd HTTP/1.1\r\nHost: app.localhost\r\n\r\n":                                              "4",
		"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: app.localhost\r\n\r\n":                                      "4",
		"GET /%00 HTTP/1.1\r\nHost: app.localhost\r\n\r\n":                                                           "4",
	} {
		c := s.dial()
		fmt.Fprint(c, request)
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			t.Errorf("%q: %v", request, err)
			continue
		}
		if status := strings.Fields(line)[1]; !strings.HasPrefix(status, want) {
			t.Errorf("%q: %s, want %s", request, status, want)
		}
	}
	resp, body := s.get("/")
	if is(t, resp, 200, ""); body != "front page" {
		t.Errorf("got %q", body)
	}
}

func TestAClientCannotRemoveFieldsThatRoutesAndMiddlewareSet(t *testing.T) { // RFC 9110 §7.6.1
	s := middlewareStage(t, func(w http.ResponseWriter, r *http.Request) {
		next(w, r)
		w.Header().Set("X-User-Role", "guest")
	})
	s.manifest.Routes = append(s.manifest.Routes, lateen.Route{Src: "/.*", Continue: true, Transforms: []lateen.Transform{
		{Type: "request.headers", Op: "set", Target: lateen.TransformTarget{Key: lateen.TransformKey{Name: "authorization"}}, Args: "Basic c2l0ZQ=="},
	}})
	s.open()
	for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
		headers := []string{"X-Own: 1", "X-User-Role: admin", "Authorization: Basic bWluZQ=="}
		if client == s.client { // HTTP/2 has no Connection field
			headers = append(headers, "Connection: close, x-user-role ,AUTHORIZATION,x-own, x-matched-path")
		}
		resp, _ := s.send(client, s.request("GET", "/fn", nil, headers...))
		if is(t, resp, 200, ""); resp.Header.Get("Saw-X-User-Role") != "guest" || resp.Header.Get("Saw-Authorization") != "Basic c2l0ZQ==" || resp.Header.Get("Saw-X-Matched-Path") != "/fn" {
			t.Errorf("%s: the function saw %v", name, resp.Header)
		}
		if got := resp.Header.Get("Saw-X-Own"); (got == "") != (client == s.client) {
			t.Errorf("%s: the function saw X-Own: %q", name, got)
		}
	}
}

func TestAFunctionCannotRemoveFieldsThatRoutesSet(t *testing.T) { // RFC 9110 §7.6.1
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "X-Frame-Options, X-Secret")
		w.Header().Set("X-Secret", "1")
	})
	s.manifest.Routes = []lateen.Route{{Src: "/.*", Continue: true, Headers: map[string]string{"x-frame-options": "DENY"}}}
	s.open()
	resp, _ := s.get("/fn")
	has(t, resp.Header, "X-Frame-Options", "DENY")
	has(t, resp.Header, "X-Secret", "")
}

func TestTrailersAreCleanedAsHeadersAre(t *testing.T) { // RFC 9110 §6.5.1
	seen := make(chan http.Header, 1)
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		seen <- r.Trailer
		for name, value := range map[string]string{"X-Sum": "2", "X-Vercel-Id": "mine", "Set-Cookie": "a=1", "Content-Length": "9", "X-Lateen-Start": "warm"} {
			w.Header().Set(http.TrailerPrefix+name, value)
		}
		io.WriteString(w, "body")
		http.NewResponseController(w).Flush()
	}).open()
	for name, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": s.h2} {
		req := s.request("POST", "/fn", io.MultiReader(strings.NewReader("body")))
		req.Trailer = http.Header{"X-Sum": {"1"}, "X-Vercel-Internal-Hops": {"7"}, "X_forwarded_for": {"6.6.6.6"}}
		if client == s.client { // HTTP/2 servers refuse such a trailer
			req.Trailer.Set("Authorization", "x")
		}
		resp, _ := s.send(client, req)
		if got := <-seen; len(got) != 1 || got.Get("X-Sum") != "1" {
			t.Errorf("%s: the function saw the trailers %v", name, got)
		}
		if got := resp.Trailer; len(got) != 1 || got.Get("X-Sum") != "2" {
			t.Errorf("%s: the client saw the trailers %v", name, got)
		}
	}
}

func TestRouteConditionsSeeFieldsOfThePlatform(t *testing.T) { // platform.md 1.7
	s := functionStage(t, func(http.ResponseWriter, *http.Request) {})
	header := func(key, value string) []lateen.HasField {
		return []lateen.HasField{{Type: "header", Key: key, Value: &lateen.Condition{Re: value}}}
	}
	s.manifest.Routes = []lateen.Route{
		{Src: "^/tls$", Has: header("x-forwarded-proto", "http"), Status: 308, Headers: map[string]string{"Location": "https://app.localhost/tls"}},
		{Src: "^/host$", Has: header("x-forwarded-host", "app\\.localhost"), Status: 307, Headers: map[string]string{"Location": "/is-app"}},
		{Src: "^/ip$", Has: header("x-real-ip", "127\\.0\\.0\\.1"), Status: 307, Headers: map[string]string{"Location": "/is-local"}},
		{Src: "^/no$", Missing: []lateen.HasField{{Type: "header", Key: "X-Forwarded-For"}}, Status: 307, Headers: map[string]string{"Location": "/never"}},
	}
	s.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	s.open()
	for path, want := range map[string]string{"/tls": "https://app.localhost/tls", "/host": "/is-app", "/ip": "/is-local", "/no": ""} {
		resp, _ := s.get(path)
		leadsTo(t, path, resp, want)
	}
	resp, _ := s.get("/tls", "X-Forwarded-Proto: https")
	leadsTo(t, "/tls behind a proxy that takes TLS off", resp, "")
}

func leadsTo(t *testing.T, name string, resp *http.Response, location string) {
	t.Helper()
	if got := resp.Header.Get("Location"); got != location {
		t.Errorf("%s: %d to %q, want %q", name, resp.StatusCode, got, location)
	}
}

func TestA405HasAllow(t *testing.T) { // RFC 9110 §15.5.6
	s := functionStage(t, func(http.ResponseWriter, *http.Request) {}).open()
	resp, _ := s.do("TRACE", "/fn", nil)
	is(t, resp, 405, "METHOD_NOT_ALLOWED")
	has(t, resp.Header, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
}

// Browsers that do not know the status 308 follow the header Refresh.
func TestAPermanentRedirectHasRefresh(t *testing.T) {
	s := newStage(t)
	s.manifest.Routes = []lateen.Route{
		{Src: "^/permanent$", Status: 308, Headers: map[string]string{"Location": "/to?a=1"}},
		{Src: "^/temporary$", Status: 307, Headers: map[string]string{"Location": "/to"}},
	}
	s.open()
	for path, want := range map[string]string{"/permanent?b=2": "0;url=/to?a=1&b=2", "//permanent": "0;url=/permanent", "/temporary": ""} {
		if resp, _ := s.get(path); resp.Header.Get("Refresh") != want {
			t.Errorf("%s: Refresh is %q", path, resp.Header.Get("Refresh"))
		}
	}
}

func TestAnImageOptimizationRequestIsAnError(t *testing.T) {
	s := functionStage(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the catch-all") })
	s.manifest.Routes = []lateen.Route{{Src: "^/.*$", Dest: "/fn"}}
	s.open()
	for _, path := range []string{"/_next/image?url=%2Fa.png&w=640&q=75", "/_vercel/image?url=%2Fa.png&w=640&q=75"} {
		resp, body := s.get(path)
		if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("X-Vercel-Error") != "INVALID_IMAGE_OPTIMIZE_REQUEST" || !strings.Contains(body, "not resized") {
			t.Errorf("%s: %d %s %q", path, resp.StatusCode, resp.Header.Get("X-Vercel-Error"), body)
		}
	}
}
