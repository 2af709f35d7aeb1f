package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// TestNoReadOfThePlatformWaitsForASocketToLinger: if a read drops the last
// descriptor of a socket (SCM_RIGHTS), the reading thread closes the socket
// (unix(7)). With SO_LINGER (socket(7)) that thread would block for a time that the
// function chooses, regardless of the deadline, and Go has 10,000 threads.
func TestNoReadOfThePlatformWaitsForASocketToLinger(t *testing.T) {
	r := newRig(t)
	if len(r.pythons) == 0 {
		t.Fatal("there is no Python")
	}
	tree := r.tree("lingers", map[string]string{"app.py": `
import os, socket, struct
kept = []

def full():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    lingers = socket.create_connection(listener.getsockname())
    kept.append((listener, listener.accept()))  # which reads nothing
    lingers.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    lingers.setblocking(False)
    try:
        while True:
            lingers.send(b"x" * 65536)
    except BlockingIOError:
        return lingers

def send(fd, data):
    with full() as lingers, socket.socket(fileno=os.dup(fd)) as to:
        socket.send_fds(to, [data], [lingers.fileno()])

def connections():
    for fd in range(5, 64):
        try:
            with socket.socket(fileno=os.dup(fd)) as it:
                if it.family == socket.AF_UNIX and it.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0:
                    yield fd
        except OSError:
            pass

def app(environ, start_response):
    send(3, b'{"type":"x"}\0')
    for fd in connections():
        send(fd, b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nhandled")
    os.write(3, b'{"type":"log","payload":{"message":"aGVhcmQ="}}\0')
    return iter(())
`})
	i := r.start(t, lateen.Function{Runtime: fmt.Sprintf("python3.%d", r.pythons[0].Minor), Handler: "app.py", Tree: tree}, nil)
	answered := make(chan string, 1)
	go func() {
		resp, err := i.RoundTrip(to(t, "GET", "/", nil))
		if err != nil {
			answered <- err.Error()
			return
		}
		resp.Body.Close()
		answered <- resp.Status
	}()
	select {
	case got := <-answered:
		if got != "200 OK" {
			t.Errorf("got %s, want 200", got)
		}
	case <-time.After(waitLimit):
		t.Fatal("the read of the response does not return")
	}
	r.awaitLine(t, i, "heard") // from the control socket
}
