//go:build !linux

package relay

import "net"

type source struct{}

func newWatch() *watch {
	return &watch{polling: true, at: map[uint16]net.IP{}, changed: make(chan struct{})}
}

func (w *watch) run() {}

func listening() string { return "" }
