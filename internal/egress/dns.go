package egress

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/netdev"
)

const (
	dnsPort     = 53
	dnsTimeout  = 3 * time.Second // for one query to one resolver
	dnsRounds   = 2               // passes through the list of resolvers
	dnsIdle     = 10 * time.Second
	dnsLargest  = 1<<16 - 1
	maxQuery    = 4 << 10                           // bytes of a query; longer ones are refused
	queryBytes  = dnsLargest + maxQuery + flowBytes // maximum memory of one query in progress
	hostTTL     = 60                                // seconds
	resolvConf  = "/etc/resolv.conf"
	resolvEvery = 5 * time.Second // minimum time between reads of that file
)

// isResolver reports whether to is the resolver of the sandbox.
func isResolver(to netip.AddrPort) bool {
	return to.Port() == dnsPort && (to.Addr() == netdev.Gateway || to.Addr() == netdev.Gateway6)
}

// resolvers are the DNS servers that the host uses.
type resolvers struct {
	fixed []netip.AddrPort // used instead of the file if not empty

	mu   sync.Mutex // guards the fields below
	list []netip.AddrPort
	at   time.Time // time at which list was read
}

// get returns at least one resolver.
func (r *resolvers) get() []netip.AddrPort {
	if len(r.fixed) > 0 {
		return r.fixed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.at) > resolvEvery {
		text, err := os.ReadFile(resolvConf)
		if list := nameservers(string(text)); err == nil || r.list == nil {
			r.list = list
		}
		r.at = now
	}
	return r.list
}

// nameservers returns the servers in a resolv.conf(5), or its default.
func nameservers(text string) []netip.AddrPort {
	var list []netip.AddrPort
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(fields[1]); err == nil {
			list = append(list, netip.AddrPortFrom(ip, dnsPort))
		}
	}
	if len(list) == 0 {
		list = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return list
}

// receiveQuery answers a query on a goroutine of its own, without blocking. false
// makes the stack report the port as closed to the sandbox.
func (g *guestStack) receiveQuery(id stack.TransportEndpointID, datagram parts) bool {
	a := g.attachment
	if !a.permitted() {
		return false
	}
	query := bytes.Join(datagram, nil)
	if len(query) == 0 || len(query) > maxQuery || !a.opens.Allow() {
		return true // dropped, like a lost datagram: the sandbox retries
	}
	release, ok := a.admitQuery()
	if !ok {
		return true
	}
	if !a.enter() {
		release()
		return true
	}
	go func() {
		defer a.work.Done()
		defer release()
		_ = g.sendDatagram(id, a.answer(a.ctx, "udp", query)) // the sandbox may have ended
	}()
	return true
}

// admitQuery reserves the resources of one query.
func (a *Attachment) admitQuery() (release func(), ok bool) {
	if !a.queries.take(1) {
		return nil, false
	}
	if !a.hold(queryBytes) {
		a.queries.give(1)
		return nil, false
	}
	return func() {
		a.bytes.give(queryBytes)
		a.queries.give(1)
	}, true
}

// answerStream answers the queries of one TCP connection, one after another.
func (a *Attachment) answerStream(end *guest) {
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	idle := time.AfterFunc(dnsIdle, cancel)
	defer idle.Stop()
	err := a.answerAll(ctx, end, idle)
	if err == nil {
		err = errors.Join(asError(end.endpoint.Shutdown(tcpip.ShutdownWrite)), linger(ctx, end, a.network.o.LingerTime))
	}
	end.close(err != nil)
}

// answerAll answers queries until the sandbox ends the stream.
func (a *Attachment) answerAll(ctx context.Context, end *guest, idle *time.Timer) error {
	for in := (streamReader{ctx, end}); ; idle.Reset(dnsIdle) {
		query, err := readFrame(in, maxQuery)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		release, ok := a.admitQuery()
		if !ok {
			return errRefused
		}
		err = end.write(ctx, frame(a.answer(ctx, "tcp", query)))
		release()
		if err != nil {
			return err
		}
	}
}

// streamReader reads a guest's stream.
type streamReader struct {
	ctx context.Context //nolint:containedctx // used in one loop
	end *guest
}

// Read implements [io.Reader].
func (r streamReader) Read(b []byte) (int, error) {
	for {
		if err := r.end.ready(r.ctx); err != nil {
			return 0, err
		}
		if n, err := r.end.read(b); n > 0 || err != nil {
			return n, err
		}
	}
}

// readFrame reads a DNS message over TCP (RFC 1035 §4.2.2). Its memory grows with
// the received bytes.
func readFrame(r io.Reader, most int) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, fmt.Errorf("read a DNS message: %w", err)
	}
	length := int(binary.BigEndian.Uint16(size[:]))
	if length > most {
		return nil, fmt.Errorf("read a DNS message: %d bytes are too many", length)
	}
	msg, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err == nil && len(msg) < length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read a DNS message: %w", err)
	}
	return msg, nil
}

func frame(msg []byte) []byte {
	msg = msg[:min(len(msg), dnsLargest)]
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...) //nolint:gosec // as bounded
}

// answer returns the response to a query.
func (a *Attachment) answer(ctx context.Context, network string, query []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return failure(dnsmessage.Header{ID: idOf(query)}, nil, dnsmessage.RCodeFormatError)
	}
	question, err := p.Question()
	if err != nil || h.OpCode != 0 {
		return failure(h, nil, dnsmessage.RCodeNotImplemented)
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return failure(h, nil, dnsmessage.RCodeFormatError)
	}
	name := strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))
	if address.IsLocalhost(name) || name == netdev.Host {
		return a.answerHost(h, question, name)
	}
	answer, err := a.network.query(ctx, network, query, question)
	if err != nil {
		return failure(h, &question, dnsmessage.RCodeServerFailure)
	}
	a.learn(answer, name)
	return answer
}

// answerHost answers for the names of this host. It has no IPv6 address there:
// programs would prefer that address without benefit.
func (a *Attachment) answerHost(h dnsmessage.Header, question dnsmessage.Question, name string) []byte {
	a.ledger.learn(netdev.Gateway, name)
	reply := reply(h, &question, dnsmessage.RCodeSuccess)
	if question.Type == dnsmessage.TypeA {
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: hostTTL},
			Body:   &dnsmessage.AResource{A: netdev.Gateway.As4()},
		}}
	}
	return pack(reply)
}

// learn records the addresses to which a name resolved.
func (a *Attachment) learn(answer []byte, name string) {
	var p dnsmessage.Parser
	if _, err := p.Start(answer); err != nil || p.SkipAllQuestions() != nil {
		return
	}
	for range maxNames {
		h, err := p.AnswerHeader()
		if err != nil {
			return
		}
		switch h.Type {
		case dnsmessage.TypeA:
			if rr, err := p.AResource(); err == nil {
				a.ledger.learn(netip.AddrFrom4(rr.A), name)
			}
		case dnsmessage.TypeAAAA:
			if rr, err := p.AAAAResource(); err == nil {
				a.ledger.learn(netip.AddrFrom16(rr.AAAA), name)
			}
		default:
			if p.SkipAnswer() != nil {
				return
			}
		}
	}
}

// query queries the host's resolvers, one after another, and returns the first
// response, of any RCODE, with the ID of the query.
func (n *Network) query(ctx context.Context, network string, query []byte, question dnsmessage.Question) ([]byte, error) {
	sent := append([]byte(nil), query...)
	binary.BigEndian.PutUint16(sent, uint16(rand.Uint32N(1<<16))) //nolint:gosec // as bounded; the port is unpredictable too
	var failed error
	for range dnsRounds {
		for _, server := range n.dns.get() {
			answer, err := n.queryOne(ctx, network, server, sent, question)
			if err == nil {
				binary.BigEndian.PutUint16(answer, idOf(query))
				return answer, nil
			}
			if failed = err; ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		}
	}
	return nil, failed
}

func (n *Network) queryOne(ctx context.Context, network string, server netip.AddrPort, query []byte, question dnsmessage.Question) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	if !n.places.take(1) {
		return nil, errRefused
	}
	defer n.places.give(1)
	conn, err := n.dial(ctx, network, target{to: server})
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if network == "tcp" {
		if _, err := conn.Write(frame(query)); err != nil {
			return nil, fmt.Errorf("query %s: %w", server, err)
		}
		answer, err := readFrame(conn, dnsLargest)
		if err == nil && !answers(answer, query, question) {
			err = errors.New("the response is for another query")
		}
		return answer, err
	}
	if _, err := conn.Write(query); err != nil {
		return nil, fmt.Errorf("query %s: %w", server, err)
	}
	for {
		answer, err := n.receive(conn)
		if err != nil {
			return nil, fmt.Errorf("receive from %s: %w", server, err)
		}
		if answers(answer, query, question) {
			return answer, nil
		}
	}
}

// receive returns the next datagram. It allocates memory only once the datagram has
// arrived.
func (n *Network) receive(conn net.Conn) (datagram []byte, err error) {
	raw, err := rawConn(conn)
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buf := n.buffers.get(n.unassigned)
		size, err := readFile(fd, buf[:])
		datagram, failed = bytes.Clone(buf[:max(size, 0)]), err
		n.buffers.put(n.unassigned, buf, len(datagram))
		return !isAgain(err)
	})
	return datagram, errors.Join(err, failed)
}

// answers reports whether a message is the response to a query.
func answers(answer, query []byte, question dnsmessage.Question) bool {
	var p dnsmessage.Parser
	h, err := p.Start(answer)
	if err != nil || !h.Response || h.ID != idOf(query) {
		return false
	}
	echoed, err := p.Question()
	if err != nil {
		return h.RCode != dnsmessage.RCodeSuccess // some servers omit the question from an error
	}
	return echoed.Type == question.Type && echoed.Class == question.Class && strings.EqualFold(echoed.Name.String(), question.Name.String())
}

func idOf(msg []byte) uint16 {
	if len(msg) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(msg)
}

// failure returns an error response.
func failure(h dnsmessage.Header, question *dnsmessage.Question, code dnsmessage.RCode) []byte {
	return pack(reply(h, question, code))
}

func reply(h dnsmessage.Header, question *dnsmessage.Question, code dnsmessage.RCode) *dnsmessage.Message {
	m := &dnsmessage.Message{Header: dnsmessage.Header{
		ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: true, RCode: code,
	}}
	if question != nil {
		m.Questions = []dnsmessage.Question{*question}
	}
	return m
}

// pack never fails for a parsed message.
func pack(m *dnsmessage.Message) []byte {
	msg, err := m.Pack()
	if err != nil {
		return nil
	}
	return msg
}
