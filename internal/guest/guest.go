// Package guest has the programs that run beside user code in a sandbox, such as the
// agent inside a runtime's process, and the wire protocol between a guest and its
// supervisor.
//
// A guest has two descriptors besides the standard ones. On [ControlFD] both sides send
// messages; on [ListenerFD] the guest accepts HTTP/1.1 connections of its supervisor
// with the requests for the function. It boots, answers the requests of [WarmUp], sends
// [TypeWaiting] and waits. [Activate] makes it run a function; [TypeServerStarted] says
// that the function's code is loaded. After that, [TypeEnd] or [TypeEnded] ends each
// request.
package guest

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Descriptors of a guest.
const (
	ControlFD  = 3 // a Unix stream socket
	ListenerFD = 4 // a listening Unix socket
)

// Headers between supervisor and agent. User code never sees them: the agent removes
// them from a request, and the supervisor removes those of a client before it adds its
// own.
const (
	HeaderPrefix     = "x-vercel-internal-"
	HeaderRequest    = HeaderPrefix + "request-id"    // number of the request within the guest
	HeaderInvocation = HeaderPrefix + "invocation-id" // lateen.RequestID
	HeaderHops       = HeaderPrefix + "hops"          // value of x-lateen-hops for the function's own requests
	HeaderFailure    = HeaderPrefix + "failure"       // set in a response of the agent that replaces the function's; see [End]
	HeaderOperation  = HeaderPrefix + "operation"     // of a request to the agent itself: an Operation
)

// Operations of an agent, which Node.js and WebAssembly guests support in part.
const (
	OperationPing    = "ping"    // answered with 200 unless user code blocks the process
	OperationArchive = "archive" // 200 with an archive for package codecache, from a process activated to record
	OperationFork    = "fork"    // 200, after which the process is a template process, or 409 with the reason why it cannot

	// OperationData is the operation of a request with the method CONNECT, without a
	// response: the connection becomes a channel for package datacache, to which the
	// guest sends requests. An agent without one caches in its process.
	OperationData = "data"
)

//go:embed agent
var agent embed.FS

// Platform is the configuration of the platform for its guests.
type Platform struct {
	Domain string `json:"domain"` // domain of the hosts that the platform generates
	// Certificate is a CA certificate in PEM that the guest trusts for hosts of the
	// platform.
	Certificate string `json:"certificate"`
}

// InstallNode writes the Node.js agent into a directory of dir, unless it exists, and
// returns the path of its main module. The directory's name depends on the content, so
// that a new version does not replace the files of running guests. platform is nil for
// guests without a configuration.
func InstallNode(dir string, platform *Platform) (string, error) {
	sum := sha256.New()
	files := map[string][]byte{}
	err := fs.WalkDir(agent, "agent", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := agent.ReadFile(path)
		files[d.Name()] = content
		sum.Write(fmt.Appendf(nil, "%s %d\n%s", path, len(content), content))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the embedded agent: %w", err)
	}
	if platform != nil {
		content, _ := json.Marshal(platform) // strings always encode
		files["platform.json"] = content
		sum.Write(content)
	}
	if native != nil {
		files[ForkLibrary], files[ZygoteLibrary] = native, zygote
		sum.Write(native)
		sum.Write(zygote)
	}
	home := filepath.Join(dir, "agent-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if err := publish(home, files); err != nil {
		return "", fmt.Errorf("install the agent: %w", err)
	}
	return filepath.Join(home, "agent.cjs"), nil
}

// publish creates the directory home with files atomically, readable by all users.
func publish(home string, files map[string][]byte) error {
	if _, err := os.Stat(home); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(home), ".agent-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // the rename has moved it unless an error occurred
	for name, content := range files {
		path := filepath.Join(work, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil { // independent of the umask
			return err
		}
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	err = os.Rename(work, home)
	if _, statErr := os.Stat(home); statErr == nil {
		return nil // installed, by this or another process
	}
	return err
}

// EndWarmUp returns the request after which a booting guest waits for a function. As the
// only request, it skips the warm-up for a faster boot.
func EndWarmUp() *http.Request { return warm(http.MethodGet, &url.URL{Path: "/end-warm-up"}) }

// WarmUp returns the requests that prepare a guest for any function, to be sent one
// after the other on the connection that its supervisor keeps open; the last one is
// [EndWarmUp]. Each is sent twice, since the runtime compiles lazily.
func WarmUp() []*http.Request {
	get := func() *http.Request { return warm(http.MethodGet, &url.URL{Path: "/", RawQuery: "a=b"}) }
	post := func() *http.Request {
		r := get()
		r.Method = http.MethodPost
		r.Header.Set("Content-Type", "text/plain")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("warm")), 4
		return r
	}
	return []*http.Request{get(), post(), get(), post(), EndWarmUp()}
}

func warm(method string, u *url.URL) *http.Request {
	return &http.Request{Method: method, URL: u, Host: "warm", Header: http.Header{"Cookie": {"a=b"}}}
}
