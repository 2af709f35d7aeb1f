package guest

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// Inherit returns the two descriptors of a guest that is this same program.
func Inherit() (control net.Conn, listener net.Listener, err error) {
	file := os.NewFile(ControlFD, "control")
	defer file.Close()
	if control, err = net.FileConn(file); err != nil {
		return nil, nil, fmt.Errorf("the control socket: %w", err)
	}
	file = os.NewFile(ListenerFD, "listener")
	defer file.Close()
	if listener, err = net.FileListener(file); err != nil {
		_ = control.Close() // useless without the listener
		return nil, nil, fmt.Errorf("the listening socket: %w", err)
	}
	return control, listener, nil
}

// Sender sends messages to a guest's supervisor, one at a time. Its methods may be
// called concurrently. A message to a supervisor that has ended is dropped.
type Sender struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

// NewSender returns a sender that writes to the control socket.
func NewSender(control io.Writer) *Sender { return &Sender{w: control} }

// Send sends a message.
func (s *Sender) Send(kind string, payload any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = Write(s.w, kind, payload)
}

// Pass sends an encoded message unchanged; raw has no NUL at its end.
func (s *Sender) Pass(raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.w.Write(append(raw, 0)) // as in Send
}
