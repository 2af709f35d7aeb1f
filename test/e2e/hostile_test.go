//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1" //nolint:gosec // the upload protocol's name for content
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

// caller sends any request to the API, well-formed or not.
type caller struct {
	*platform

	token string
}

// call sends a request to the API; body is sent as JSON unless it is a string.
func (c caller) call(t *testing.T, method, path string, body any, options ...option) *response {
	t.Helper()
	text, raw := body.(string)
	if !raw && body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(encoded)
	}
	s := site{c.platform, "127.0.0.1"}
	options = append([]option{withHeader("Authorization", "Bearer "+c.token)}, options...)
	return s.send(t, method, path, strings.NewReader(text), options...)
}

// refused fails unless a response is an error of the API with a code and words
// in its message.
func refused(t *testing.T, r *response, status int, code string, words ...string) {
	t.Helper()
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
		t.Errorf("%d and no JSON: %s", r.Status, clip(r.Body))
		return
	}
	if r.Status != status || body.Error.Code != code {
		t.Errorf("answered %d %s, want %d %s: %s", r.Status, body.Error.Code, status, code, clip(r.Body))
	}
	for _, word := range words {
		if !strings.Contains(body.Error.Message, word) {
			t.Errorf("the message %q does not say %q", body.Error.Message, word)
		}
	}
}

func sha1Of(text string) string {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// upload sends a file as clients do.
func (c caller) upload(t *testing.T, content string) string {
	t.Helper()
	name := sha1Of(content)
	if r := c.call(t, http.MethodPost, "/v2/files", content, withHeader("X-Now-Digest", name)); r.Status != http.StatusOK {
		t.Fatalf("upload: %d %s", r.Status, r.Body)
	}
	return name
}

// file is an entry of a deployment's listing, of content that was uploaded.
type file map[string]any

func (c caller) file(t *testing.T, path, content string) file {
	t.Helper()
	return file{"file": path, "sha": c.upload(t, content), "size": len(content), "mode": 0o100644}
}

func (c caller) link(t *testing.T, path, target string) file {
	t.Helper()
	return file{"file": path, "sha": c.upload(t, target), "size": len(target), "mode": 0o120777}
}

// deploy requests a deployment of files.
func (c caller) deploy(t *testing.T, files ...file) *response {
	t.Helper()
	return c.call(t, http.MethodPost, "/v13/deployments?prebuilt=1", map[string]any{"name": "harbour", "target": "preview", "files": files}, withHeader("Content-Type", "application/json"))
}

const outputDir = ".vercel/output/"

// failed fails the test unless the deployment of files ends in an error with
// words in its message, and is not served.
func (c caller) failed(t *testing.T, reason, words string, files ...file) {
	t.Helper()
	r := c.deploy(t, files...)
	if r.Status != http.StatusOK {
		refused(t, r, http.StatusBadRequest, reason, words)
		return
	}
	d := c.settled(t, decode[client.Deployment](t, r).ID)
	if d.State != lateen.Failed || d.ErrorReason != reason || !strings.Contains(d.ErrorText, words) {
		t.Errorf("the deployment is %s %s: %s, want %s: %s", d.State, d.ErrorReason, d.ErrorText, reason, words)
	}
	(site{c.platform, d.Host}).gone(t)
}

// activity is when a token was last used, which is noted once a minute.
var activity = regexp.MustCompile(`"activeAt":\d+`)

// state is the data that refused requests must not change.
func (c caller) state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{"/v2/teams", "/v9/projects", "/v4/aliases", "/v10/projects/harbour/env", "/v3/user/tokens"} {
		b.WriteString(c.call(t, http.MethodGet, path, nil).Body)
	}
	return activity.ReplaceAllString(b.String(), "")
}

func TestHostileInputIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	p := start(t, "LATEEN_POOL=1")
	own := caller{p, p.token}
	dir := filepath.Join(t.TempDir(), "harbour")
	output(t, dir, map[string]string{"static/index.html": "<h1>harbour</h1>"})
	good := lateenCLI(t, p, dir).deploy("deploy")
	before := own.state(t)

	t.Run("tokens", func(t *testing.T) { hostileTokens(t, own) })
	t.Run("requests", func(t *testing.T) { hostileRequests(t, own) })
	t.Run("uploads", func(t *testing.T) { hostileUploads(t, own) })
	t.Run("listings", func(t *testing.T) { hostileListings(t, own) })
	t.Run("outputs", func(t *testing.T) { hostileOutputs(t, own) })
	t.Run("archives", func(t *testing.T) { hostileArchives(t, own) })
	t.Run("connections", func(t *testing.T) { hostileConnections(t, good) })

	if after := own.state(t); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	good.says(t, "harbour")
	for _, name := range []string{"escaped", "escaped.txt"} {
		if _, err := os.Lstat(filepath.Join(p.dir, name)); err == nil {
			t.Errorf("%s was written outside of the data directory", name)
		}
	}
	if after := p.metric(t, "lateen_instances"); after != 0 {
		t.Errorf("%v instances run", after)
	}
}

func hostileTokens(t *testing.T, own caller) {
	for name, token := range map[string]string{
		"none": "", "another": "ltn_" + strings.Repeat("a", 40), "cut": own.token[:len(own.token)-1], "longer": own.token + "a",
		"long": strings.Repeat("a", 8000), "odd": "' OR 1=1 --",
	} {
		bad := caller{own.platform, token}
		for _, call := range []struct{ method, path string }{
			{http.MethodGet, "/v2/user"},
			{http.MethodGet, "/v9/projects"},
			{http.MethodGet, "/v10/projects/harbour/env?decrypt=true"},
			{http.MethodDelete, "/v9/projects/harbour"},
			{http.MethodPost, "/v13/deployments"},
			{http.MethodPost, "/v2/files"},
			{http.MethodPost, "/v3/user/tokens"},
		} {
			r := bad.call(t, call.method, call.path, nil)
			if r.Status != http.StatusForbidden {
				t.Errorf("with %s token %s %s answers %d %s", name, call.method, call.path, r.Status, clip(r.Body))
			}
		}
		if r := bad.call(t, http.MethodGet, "/metrics", nil); r.Status != http.StatusUnauthorized {
			t.Errorf("with %s token /metrics answers %d", name, r.Status)
		}
	}
	for _, path := range []string{"/v9/projects?teamId=team_01somebodyelse", "/v9/projects?slug=somebody-else", "/v13/deployments?teamId=../../team"} {
		if r := own.call(t, http.MethodGet, path, nil); r.Status != http.StatusForbidden && r.Status != http.StatusNotFound {
			t.Errorf("%s answers %d %s", path, r.Status, clip(r.Body))
		}
	}
}

func hostileRequests(t *testing.T, own caller) {
	asJSON := withHeader("Content-Type", "application/json")
	for name, row := range map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"unknown deployment":     {http.MethodGet, "/v13/deployments/dpl_nothing", "", 404, "deployment_not_found"},
		"unknown project":        {http.MethodGet, "/v9/projects/prj_nothing", "", 404, "project_not_found"},
		"another's project":      {http.MethodDelete, "/v9/projects/prj_01somebodyelse", "", 404, "project_not_found"},
		"path instead of id":     {http.MethodDelete, "/v13/deployments/..%2f..%2fharbour", "", 404, "deployment_not_found"},
		"no such call":           {http.MethodGet, "/v9/secrets", "", 404, "not_found"},
		"wrong method":           {http.MethodPut, "/v9/projects/harbour", "{}", 405, "method_not_allowed"},
		"not JSON":               {http.MethodPost, "/v9/projects", "{", 400, "bad_request"},
		"another type":           {http.MethodPost, "/v9/projects", `{"name":7}`, 400, "bad_request"},
		"bad name":               {http.MethodPost, "/v9/projects", `{"name":"../x"}`, 400, "project_name_invalid"},
		"name of another":        {http.MethodPost, "/v9/projects", `{"name":"harbour"}`, 409, "project_taken"},
		"bad variable":           {http.MethodPost, "/v10/projects/harbour/env", `{"key":"A=B","value":"x","type":"plain","target":["production"]}`, 400, "env_invalid"},
		"reserved variable":      {http.MethodPost, "/v10/projects/harbour/env", `{"key":"LAMBDA_TASK_ROOT","value":"x","type":"plain","target":["production"]}`, 400, "env_reserved"},
		"huge variable":          {http.MethodPost, "/v10/projects/harbour/env", `{"key":"A","value":"` + strings.Repeat("x", 70<<10) + `","type":"plain","target":["production"]}`, 400, "env_too_large"},
		"huge body":              {http.MethodPost, "/v9/projects", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "too_large"},
		"bad target":             {http.MethodPost, "/v13/deployments", `{"name":"harbour","target":"../x","files":[]}`, 400, "target_invalid"},
		"deploy of nothing":      {http.MethodPost, "/v13/deployments", `{"name":"harbour","files":[]}`, 400, "source_build_unsupported"},
		"deploy of the unknown":  {http.MethodPost, "/v13/deployments", `{"name":"harbour","deploymentId":"dpl_nothing"}`, 404, "deployment_not_found"},
		"alias of the platform":  {http.MethodPost, "/v2/deployments/harbour.localhost/aliases", `{"alias":"api.localhost"}`, 403, "forbidden_alias"},
		"alias of an address":    {http.MethodPost, "/v2/deployments/harbour.localhost/aliases", `{"alias":"127.0.0.1"}`, 403, "forbidden_alias"},
		"alias of no host":       {http.MethodPost, "/v2/deployments/harbour.localhost/aliases", `{"alias":"a b"}`, 400, "invalid_alias"},
		"promotion of another's": {http.MethodPost, "/v10/projects/harbour/promote/dpl_nothing", `{}`, 404, "deployment_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, own.call(t, row.method, row.path, row.body, asJSON), row.status, row.code)
		})
	}
}

func hostileUploads(t *testing.T, own caller) {
	const content = "half of this will never arrive"
	digest := func(name string) option { return withHeader("X-Now-Digest", name) }
	refused(t, own.call(t, http.MethodPost, "/v2/files", content, digest(sha1Of("something else"))), 400, "upload_digest_mismatch")
	refused(t, own.call(t, http.MethodPost, "/v2/files", content, digest("../../../../etc/passwd")), 400, "upload_digest_mismatch")
	refused(t, own.call(t, http.MethodPost, "/v2/files", content), 400, "upload_digest_mismatch")
	refused(t, own.call(t, http.MethodPost, "/v2/files", content, digest(sha1Of(content)), withHeader("X-Now-Size", "7")), 400, "bad_request")
	refused(t, own.call(t, http.MethodPost, "/v2/files", content, digest(sha1Of(content)), withHeader("X-Now-Size", "-1")), 400, "bad_request")

	t.Run("cut short", func(t *testing.T) {
		conn, err := net.Dial("tcp", own.addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v2/files HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nX-Now-Digest: %s\r\nContent-Length: %d\r\n\r\n%s",
			own.token, sha1Of(content), len(content), content[:len(content)/2])
		if half, ok := conn.(*net.TCPConn); ok {
			half.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, conn) // the response is not needed
	})
	missing := own.deploy(t, file{"file": outputDir + "config.json", "sha": sha1Of(content), "size": len(content), "mode": 0o100644})
	refused(t, missing, 400, "missing_files")
	if !strings.Contains(missing.Body, sha1Of(content)) {
		t.Errorf("what is missing is not named: %s", missing.Body)
	}
}

func hostileListings(t *testing.T, own caller) {
	config := own.file(t, outputDir+"config.json", `{"version":3}`)
	for _, path := range []string{
		"../escaped.txt", "/escaped.txt", "a/../../escaped.txt", "..", "", ".", "a//b", "a/./b", `..\escaped.txt`, "a\x00b", outputDir + "static/../../../../escaped.txt",
		strings.Repeat("a/", 3000) + "b",
	} {
		r := own.deploy(t, config, own.file(t, path, "x"))
		if path == `..\escaped.txt` && r.Status == http.StatusOK {
			own.settled(t, decode[client.Deployment](t, r).ID) // an odd name, and one of a file inside
			continue
		}
		if r.Status != http.StatusBadRequest || !strings.Contains(r.Body, `"code":"invalid_path"`) {
			t.Errorf("the path %.40q: %d %s", path, r.Status, clip(r.Body))
		}
	}
	t.Run("the same path twice", func(t *testing.T) {
		r := own.deploy(t, config, own.file(t, "a", "1"), own.file(t, "a", "2"))
		if r.Status != http.StatusBadRequest {
			t.Errorf("%d %s", r.Status, clip(r.Body))
		}
	})
}

func hostileOutputs(t *testing.T, own caller) {
	const node = `{"runtime":"nodejs24.x","handler":"i.js","launcherType":"Nodejs"`
	config := func(text string) file { return own.file(t, outputDir+"config.json", text) }
	sound := config(`{"version":3}`)
	function := func(config string) file { return own.file(t, outputDir+"functions/f.func/.vc-config.json", config) }
	code := own.file(t, outputDir+"functions/f.func/i.js", "module.exports = (q, s) => s.end()")
	for name, row := range map[string]struct {
		reason, words string
		files         []file
	}{
		"no version":        {"build_output_version", "version is missing", []file{config(`{}`)}},
		"unknown version":   {"build_output_version", "version is 4", []file{config(`{"version":4}`)}},
		"not JSON":          {"build_output_invalid", "config.json is not JSON", []file{config(`{"version":3,`)}},
		"giant config":      {"build_output_invalid", "too large", []file{config(`{"version":3,"x":"` + strings.Repeat("x", 33<<20) + `"}`)}},
		"deep config":       {"build_output_invalid", "nested", []file{config(`{"version":3,"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`)}},
		"malformed route":   {"invalid_route", "routes[1].src", []file{config(`{"version":3,"routes":[{"src":"/a"},{"src":7}]}`)}},
		"malformed pattern": {"invalid_route", "routes[0]", []file{config(`{"version":3,"routes":[{"src":"/(a"}]}`)}},
		"route to a scheme": {"invalid_route", "routes[0]", []file{config(`{"version":3,"routes":[{"handle":"teleport"}]}`)}},
		"map out":           {"build_output_invalid", "leads out of the upload", []file{sound, function(node + `,"filePathMap":{"a":"../../../../etc/passwd"}}`), code}},
		"absolute map":      {"build_output_invalid", "leads out of the upload", []file{sound, function(node + `,"filePathMap":{"a":"/etc/passwd"}}`), code}},
		"map to outside":    {"function_tree_invalid", "not a path within", []file{sound, function(node + `,"filePathMap":{"../../escaped":"x"}}`), code, own.file(t, "x", "x")}},
		"map through link":  {"build_output_invalid", "leads out of the upload", []file{sound, function(node + `,"filePathMap":{"a":"out/passwd"}}`), code, own.link(t, "out", "/etc")}},
		"link out of code":  {"function_tree_invalid", "leaves the function", []file{sound, function(node + `}`), code, own.link(t, outputDir+"functions/f.func/etc", "../../../../../../../../etc")}},
		"static link out":   {"build_output_invalid", "leads out of the upload", []file{sound, own.link(t, outputDir+"static/passwd", "/etc/passwd")}},
		"linked config":     {"build_output_invalid", "leads out of the upload", []file{own.link(t, outputDir+"config.json", "/etc/passwd")}},
	} {
		t.Run(name, func(t *testing.T) { own.failed(t, row.reason, row.words, row.files...) })
	}
}

func hostileArchives(t *testing.T, own caller) {
	archive := func(entries ...tar.Header) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		for _, h := range append([]tar.Header{{Name: outputDir + "config.json", Size: 13, Mode: 0o644}}, entries...) {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				_, _ = io.WriteString(w, `{"version":3}`) // to memory
			}
		}
		_ = w.Close() // to memory
		_ = z.Close() // to memory
		return b.String()
	}
	for name, text := range map[string]string{
		"climbing path":    archive(tar.Header{Name: "../../escaped.txt", Size: 13, Mode: 0o644}),
		"absolute path":    archive(tar.Header{Name: "/tmp/escaped.txt", Size: 13, Mode: 0o644}),
		"static link out":  archive(tar.Header{Name: outputDir + "static/passwd", Typeflag: tar.TypeSymlink, Linkname: "../../../../../../etc/passwd"}),
		"write over link":  archive(tar.Header{Name: outputDir + "static/d", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}, tar.Header{Name: outputDir + "static/d/escaped.txt", Size: 13, Mode: 0o644}),
		"device":           archive(tar.Header{Name: outputDir + "static/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}),
		"hard link out":    archive(tar.Header{Name: outputDir + "static/passwd", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		"cut short":        archive()[:60],
		"no archive":       "this is no archive",
		"gzip of no tar":   gzipped("this is no tar"),
		"an inflated bomb": gzipped(strings.Repeat("\x00", 64<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			r := own.deploy(t, own.file(t, ".vercel/source.tgz.part1", text))
			if r.Status != http.StatusOK {
				refused(t, r, http.StatusBadRequest, "invalid_archive")
				return
			}
			d := own.settled(t, decode[client.Deployment](t, r).ID)
			if d.State != lateen.Failed || d.ErrorText == "" || d.ErrorReason == "internal" {
				t.Errorf("the deployment is %s %s: %s", d.State, d.ErrorReason, d.ErrorText)
			}
			(site{own.platform, d.Host}).gone(t)
		})
	}
}

func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text) // to memory
	_ = z.Close()                  // to memory
	return b.String()
}

// hostileConnections sends malformed HTTP and other protocols to a site.
func hostileConnections(t *testing.T, s site) {
	host := s.host + ":" + strconv.Itoa(s.port)
	for name, row := range map[string]struct {
		request string
		status  []int
	}{
		"no HTTP":                {"hello, this is no HTTP\r\n\r\n", []int{400}},
		"no host":                {"GET / HTTP/1.1\r\n\r\n", []int{400}},
		"two hosts":              {"GET / HTTP/1.1\r\nHost: " + host + "\r\nHost: api.localhost\r\n\r\n", []int{400}},
		"two lengths":            {"POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", []int{400}},
		"length and chunks":      {"POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400, 405}},
		"an odd coding":          {"POST / HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", []int{400, 501}},
		"space before colon":     {"GET / HTTP/1.1\r\nHost: " + host + "\r\nX-Vercel-Internal : 1\r\n\r\n", []int{400}},
		"folded header":          {"GET / HTTP/1.1\r\nHost: " + host + "\r\nX-A: 1\r\n X-Middleware-Rewrite: /\r\n\r\n", []int{200, 400}},
		"NUL in a header":        {"GET / HTTP/1.1\r\nHost: " + host + "\r\nX-A: a\x00b\r\n\r\n", []int{400}},
		"a giant header":         {"GET / HTTP/1.1\r\nHost: " + host + "\r\nX-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", []int{431}},
		"absolute to elsewhere":  {"GET http://evil.example/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n", []int{404}},
		"a tunnel":               {"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n", []int{404, 405, 400}},
		"a climbing path":        {"GET /../../../../etc/passwd HTTP/1.1\r\nHost: " + host + "\r\n\r\n", []int{400, 404}},
		"an encoded climb":       {"GET /..%2f..%2f..%2fetc/passwd HTTP/1.1\r\nHost: " + host + "\r\n\r\n", []int{400, 404}},
		"a NUL in the path":      {"GET /%00 HTTP/1.1\r\nHost: " + host + "\r\n\r\n", []int{400, 404}},
		"a backslash in a path":  {"GET /\\evil.example HTTP/1.1\r\nHost: " + host + "\r\n\r\n", []int{400, 404}},
		"a doubled first slash":  {"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: " + host + "\r\n\r\n", []int{308, 404}},
		"a host of odd letters":  {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", []int{400}},
		"an unknown host":        {"GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n", []int{404}},
		"the API under a domain": {"GET /v2/user HTTP/1.1\r\nHost: api.evil.example\r\n\r\n", []int{404}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.DialTimeout("tcp", s.addr(), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // or the read below fails
			go func() { _, _ = io.WriteString(conn, row.request) }()
			head := make([]byte, 4096)
			n, err := io.ReadAtLeast(conn, head, len("HTTP/1.1 200"))
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			status, _ := strconv.Atoi(string(head[9:12])) // 0 is none of those below
			if !slices.Contains(row.status, status) {
				t.Errorf("answered %d, want %v\n%s", status, row.status, clip(string(head[:n])))
			}
		})
	}
}
