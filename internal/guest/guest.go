// Package guest is what runs beside user code: the agent inside a runtime's
// process, and the wire protocol between it and its supervisor.
//
// A guest has two descriptors besides the standard ones. On [ControlFD] both
// sides send messages; on [ListenerFD] it accepts HTTP/1.1 connections of its
// supervisor, whose requests are those for the function. It boots, answers the
// requests of [WarmUp], says [TypeParked] and waits; [Activate] makes it a
// function; [TypeServerStarted] says that its code is loaded. From then on a
// request is over at [TypeEnd] or [TypeEnded].
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
	ControlFD  = 3 // a unix stream socket
	ListenerFD = 4 // a listening unix socket
)

// Headers between supervisor and agent. User code never sees them: the agent
// takes those of a request from its end, and a request of a client that has
// one was stripped of it before.
const (
	HeaderPrefix     = "x-vercel-internal-"
	HeaderRequest    = HeaderPrefix + "request-id"    // number of the request within the guest
	HeaderInvocation = HeaderPrefix + "invocation-id" // lateen.RequestID
	HeaderHops       = HeaderPrefix + "hops"          // what the function's own requests are to say in x-lateen-hops
	HeaderFailure    = HeaderPrefix + "failure"       // of a response: the agent answers in the function's place; see [End]
	HeaderQuestion   = HeaderPrefix + "question"      // makes a request one for the agent itself: a Question
)

// Questions to an agent of Node.js.
const (
	QuestionAlive   = "alive"   // answered with 200 unless user code blocks the process
	QuestionArchive = "archive" // 200, a [Packed] archive, of a process activated to record
	QuestionFork    = "fork"    // 200, after which it serves [Fork], or 409 and why it cannot
)

//go:embed agent
var agent embed.FS

// Platform is what a guest knows of the platform that it runs on.
type Platform struct {
	Domain string `json:"domain"` // under which the platform makes up hosts
	// Certificate is that of an authority, in PEM, which the guest trusts for hosts of
	// the platform.
	Certificate string `json:"certificate"`
}

// InstallNode writes the Node.js agent into a directory of dir, unless it is
// there, and returns the path of its main module. The directory's name depends
// on the content, so that it can be swapped under running guests. platform is nil
// where guests know nothing of it.
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
		content, _ := json.Marshal(platform) // strings
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

// publish makes the directory home with files, all at once, readable by everybody.
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
	defer os.RemoveAll(work) //nolint:errcheck // it is gone unless something else failed
	for name, content := range files {
		path := filepath.Join(work, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil { // whatever the umask is
			return err
		}
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	err = os.Rename(work, home)
	if _, statErr := os.Stat(home); statErr == nil {
		return nil // here now, by this or another process
	}
	return err
}

// Park returns the request that makes a booting guest park. Alone it makes one
// that is soon there and knows nothing yet.
func Park() *http.Request { return warm(http.MethodGet, &url.URL{Path: "/park"}) }

// WarmUp returns the requests that make a guest ready for any function, one
// after the other on the connection its supervisor keeps, and the last parks
// it. Each comes twice, since what is compiled lazily is compiled late.
func WarmUp() []*http.Request {
	get := func() *http.Request { return warm(http.MethodGet, &url.URL{Path: "/", RawQuery: "a=b"}) }
	post := func() *http.Request {
		r := get()
		r.Method = http.MethodPost
		r.Header.Set("Content-Type", "text/plain")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("warm")), 4
		return r
	}
	return []*http.Request{get(), post(), get(), post(), Park()}
}

func warm(method string, u *url.URL) *http.Request {
	return &http.Request{Method: method, URL: u, Host: "warm", Header: http.Header{"Cookie": {"a=b"}}}
}
