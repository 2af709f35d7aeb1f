//go:build linux

package egress_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/netdev"
)

// programs are the programs that guests run.
var programs = map[string]func(ctx context.Context, args []string) error{
	"nothing": func(context.Context, []string) error { return nil },
	"get":     get,
	"post":    post,
	"echo":    echo,
	"many":    many,
	"denied":  denied,
	"resolve": resolve,
	"udp":     udp,
	"half":    halfClose,
	"slow":    slow,
	"reset":   expectReset,
	"hold":    hold,
	"latency": latency,
	"pull":    pull,
	"push":    push,
	"visit":   visit,
	"stuff":   stuff,
}

func dial(ctx context.Context, network, to string) (net.Conn, error) {
	d := net.Dialer{Timeout: 20 * time.Second}
	return d.DialContext(ctx, network, to)
}

// get prints the response of a server.
func get(ctx context.Context, args []string) error {
	resp, err := new(http.Client).Get(args[0])
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, resp.Body)
	fmt.Printf("%d %d %x", resp.StatusCode, n, sum.Sum(nil))
	return err
}

// post sends a number of bytes and prints the response.
func post(ctx context.Context, args []string) error {
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	sum := sha256.New()
	resp, err := new(http.Client).Post(args[0], "application/octet-stream", io.TeeReader(io.LimitReader(&noise{}, n), sum))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if string(said) != fmt.Sprintf("%x", sum.Sum(nil)) {
		return fmt.Errorf("the server says %s, it was %x", said, sum.Sum(nil))
	}
	return err
}

// noise is a stream of bytes with a long period.
type noise struct{ state uint64 }

func (n *noise) Read(b []byte) (int, error) {
	for i := range b {
		n.state = n.state*6364136223846793005 + 1442695040888963407
		b[i] = byte(n.state >> 56)
	}
	return len(b), nil
}

// echo sends words and prints the replies.
func echo(ctx context.Context, args []string) error {
	c, err := dial(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	for _, word := range args[1:] {
		if _, err := io.WriteString(c, word); err != nil {
			return err
		}
		if _, err := io.CopyN(stdout{}, c, int64(len(word))); err != nil {
			return err
		}
	}
	return nil
}

type stdout struct{}

func (stdout) Write(b []byte) (int, error) { return fmt.Print(string(b)) }

// many opens a number of concurrent connections and sends a word on each.
func many(ctx context.Context, args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	conns := make([]net.Conn, n)
	failed := make([]error, n)
	var all sync.WaitGroup
	for i := range conns {
		all.Go(func() { conns[i], failed[i] = dial(ctx, "tcp", args[0]) })
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	for i, c := range conns {
		all.Go(func() {
			word := fmt.Sprintf("connection %d", i)
			_, err := io.WriteString(c, word)
			back := make([]byte, len(word))
			_, other := io.ReadFull(c, back)
			if failed[i] = errors.Join(err, other); string(back) != word {
				failed[i] = fmt.Errorf("%q came back for %q", back, word)
			}
		})
	}
	all.Wait()
	fmt.Print(n)
	return errors.Join(failed...)
}

// denied dials addresses and prints the longest time to a refusal.
func denied(ctx context.Context, args []string) error {
	for _, to := range args {
		network, to, _ := strings.Cut(to, "!")
		began := time.Now()
		err := try(ctx, network, to)
		if err == nil {
			return fmt.Errorf("%s was reached", to)
		}
		if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("%s: %w", to, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			return fmt.Errorf("%s took %v to be refused", to, took)
		}
	}
	return nil
}

func try(ctx context.Context, network, to string) error {
	c, err := dial(ctx, network, to)
	if err != nil || network == "tcp" {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err = c.Read(make([]byte, 10))
	return err
}

// udp sends words as datagrams and prints the replies.
func udp(ctx context.Context, args []string) error {
	c, err := dial(ctx, "udp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	for _, word := range args[1:] {
		size, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		sent := make([]byte, size)
		_, _ = (&noise{}).Read(sent)
		if err := exchange(c, sent); err != nil {
			return err
		}
	}
	fmt.Print("same")
	return nil
}

// exchange sends a datagram until it comes back: a busy host may drop some.
func exchange(c net.Conn, sent []byte) error {
	back := make([]byte, 1<<16)
	for range 10 {
		if _, err := c.Write(sent); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		for {
			n, err := c.Read(back)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return err
			}
			if string(back[:n]) == string(sent) {
				return nil
			}
			if n == len(sent) {
				return fmt.Errorf("other bytes came back for %d", n)
			}
		}
	}
	return fmt.Errorf("%d bytes do not come back", len(sent))
}

// halfClose closes its direction of the stream before it reads the answer.
func halfClose(ctx context.Context, args []string) error {
	c, err := dial(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "question"); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(stdout{}, c)
	return err
}

// slow reads a stream, at first in small pieces with pauses.
func slow(ctx context.Context, args []string) error {
	c, err := dial(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	sum := sha256.New()
	for range 20 {
		if _, err := io.CopyN(sum, c, 1000); err != nil {
			return err
		}
		<-time.After(10 * time.Millisecond)
	}
	_, err = io.Copy(sum, c)
	fmt.Printf("%x", sum.Sum(nil))
	return err
}

// expectReset connects, sends a greeting and waits for a reset.
func expectReset(ctx context.Context, args []string) error {
	c, err := dial(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	if !errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("the stream ended with %w", err)
	}
	fmt.Print("reset")
	return nil
}

// lookup returns a resolver that queries the gateway only.
func lookup(network string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, asked, _ string) (net.Conn, error) {
		if network != "" {
			asked = network
		}
		return new(net.Dialer).DialContext(ctx, asked, net.JoinHostPort(netdev.Gateway.String(), "53"))
	}}
}

// resolve prints the addresses of names; the first argument is the network or "".
func resolve(ctx context.Context, args []string) error {
	r := lookup(args[0])
	for _, name := range args[1:] {
		addresses, err := r.LookupNetIP(ctx, "ip", name)
		if err != nil {
			fmt.Printf("%s: %v\n", name, err)
			continue
		}
		slices.SortFunc(addresses, netip.Addr.Compare)
		fmt.Println(name, addresses)
	}
	return nil
}

// visit connects to host:port by name and disconnects.
func visit(ctx context.Context, args []string) error {
	d := net.Dialer{Resolver: lookup("")}
	for _, to := range args {
		c, err := d.DialContext(ctx, "tcp", to)
		if err != nil {
			return err
		}
		c.Close()
	}
	return nil
}

// latency prints the minimum and the median of the connect time and of a byte's
// round trip.
func latency(ctx context.Context, args []string) error {
	const rounds = 200
	var connects, trips []time.Duration
	for range rounds {
		began := time.Now()
		c, err := dial(ctx, "tcp", args[0])
		if err != nil {
			return err
		}
		connects = append(connects, time.Since(began))
		for range 5 {
			began = time.Now()
			if _, err := c.Write([]byte{1}); err != nil {
				return err
			}
			if _, err := c.Read(make([]byte, 1)); err != nil {
				return err
			}
			trips = append(trips, time.Since(began))
		}
		c.Close()
	}
	slices.Sort(connects)
	slices.Sort(trips)
	fmt.Printf("connect min %v p50 %v, round trip min %v p50 %v", connects[0], connects[len(connects)/2], trips[0], trips[len(trips)/2])
	return nil
}

// pull reads a stream to its end and prints the throughput.
func pull(ctx context.Context, args []string) error {
	c, err := dial(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	began := time.Now()
	n, err := io.Copy(io.Discard, c)
	fmt.Printf("%.0f MiB/s", float64(n)/(1<<20)/time.Since(began).Seconds())
	return err
}

// push sends a number of bytes, waits for the end and prints the throughput.
func push(ctx context.Context, args []string) error {
	c, err := dial(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	began := time.Now()
	b := make([]byte, 1<<16)
	for sent := int64(0); sent < n; sent += int64(len(b)) {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	fmt.Printf("%.0f MiB/s", float64(n)/(1<<20)/time.Since(began).Seconds())
	return err
}

// hold opens connections without reading them, and waits to be killed.
func hold(ctx context.Context, args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var held []net.Conn
	for range n {
		c, err := dial(ctx, "tcp", args[0])
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, "here"); err != nil {
			return err
		}
		held = append(held, c)
	}
	_, err = io.ReadFull(held[0], make([]byte, 1<<30))
	return err
}

// stuff opens a number of connections, sends on each until its buffers are full,
// prints the number of connections, and waits to be killed.
func stuff(ctx context.Context, args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var open []net.Conn
	for range n {
		c, err := dial(ctx, "tcp", args[0])
		if err != nil {
			break
		}
		open = append(open, c)
	}
	var all sync.WaitGroup
	for _, c := range open {
		all.Go(func() {
			b := make([]byte, 1<<20)
			for {
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				if n, err := c.Write(b); err != nil && n == 0 {
					return
				}
			}
		})
	}
	all.Wait()
	fmt.Println("stuffed", len(open))
	<-ctx.Done()
	return ctx.Err()
}
