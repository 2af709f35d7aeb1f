//go:build linux

package egress_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/netdev"
)

// BenchmarkGuest measures the time in which a guest connects, the round trip of a
// byte, and the throughput of streams; "direct" is the same over loopback, without a
// network of the guest's own.
func BenchmarkGuest(b *testing.B) {
	const size = 512 << 20
	l, network := listen(b, egress.Options{})
	serve(b, l, echoAll)
	source, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	serve(b, source, func(c *net.TCPConn) {
		buf := make([]byte, 1<<16)
		for sent := 0; sent < size; sent += len(buf) {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	})
	sink, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	serve(b, sink, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, onlyReader{c}) })
	network = egress.New(egress.Options{Host: []netip.AddrPort{addrPort(l.Addr()), addrPort(source.Addr()), addrPort(sink.Addr())}})
	for _, run := range []struct {
		program string
		to      net.Listener
		args    []string
	}{{"latency", l, nil}, {"pull", source, nil}, {"push", sink, []string{fmt.Sprint(size)}}} {
		b.Run(run.program, func(b *testing.B) {
			b.Log("tun:   ", inside(b, network, false, run.program, append([]string{gateway(run.to)}, run.args...)...))
			b.Log("pair:  ", inside(b, network, true, run.program, append([]string{gateway(run.to)}, run.args...)...))
			b.Log("direct:")
			if err := programs[run.program](b.Context(), append([]string{run.to.Addr().String()}, run.args...)); err != nil {
				b.Fatal(err)
			}
			fmt.Println()
		})
	}
}

type onlyReader struct{ io.Reader }

// BenchmarkMemory measures the memory of attachments before their first packet and
// after it.
func BenchmarkMemory(b *testing.B) {
	const many = 500
	network := egress.New(egress.Options{})
	var near, far [many]*os.File
	for i := range many {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		near[i], far[i] = os.NewFile(uintptr(pair[0]), "near"), os.NewFile(uintptr(pair[1]), "far")
	}
	before := memory()
	for i := range many {
		a, err := network.Attach(b.Context(), near[i])
		if err != nil {
			b.Fatal(err)
		}
		defer a.Close()
	}
	waiting := memory()
	syn := []byte("\x45\x00\x00\x28\x00\x01\x40\x00\x40\x06\x00\x00\xc6\x12\x00\x02\xc6\x12\x00\x01\x30\x39\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00\x50\x02\xff\xff\x00\x00\x00\x00")
	for i := range many {
		if _, err := far[i].Write(syn); err != nil {
			b.Fatal(err)
		}
		if _, err := far[i].Read(make([]byte, netdev.MTU)); err != nil { // the reset
			b.Fatal(err)
		}
	}
	used := memory()
	b.ReportMetric(float64(waiting-before)/many, "B/waiting")
	b.ReportMetric(float64(used-before)/many, "B/used")
	b.ReportMetric(float64(runtime.NumGoroutine())/many, "goroutines/each")
	runtime.KeepAlive(&far)
}

// memory is the bytes in heap and stacks.
func memory() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
