package datacache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a cache in memory, without tags.
type memory struct {
	mu     sync.Mutex
	values map[string]Item
	told   []string
	fail   error
}

func (m *memory) Get(_ context.Context, o Owner, key string, _ []string) (Value, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[string(o.Deployment)+"/"+key]
	if !ok {
		return Value{State: Miss, Now: 7}, m.fail
	}
	return Value{State: Fresh, Now: 7, Meta: v.Meta, Size: int64(len(v.Body)), Body: io.NopCloser(bytes.NewReader(v.Body))}, m.fail
}

func (m *memory) Put(_ context.Context, o Owner, key string, v Item) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[string(o.Deployment)+"/"+key] = v
	return true, m.fail
}

func (m *memory) Invalidate(_ context.Context, o Owner, v Invalidation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, string(o.Deployment)+" "+strings.Join(v.Tags, ",")+" "+v.Grace.String()+v.ID)
	return m.fail
}

func newMemory() *memory { return &memory{values: map[string]Item{}} }

// instance is the end of a channel in an instance.
type instance struct {
	t    *testing.T
	conn net.Conn
	done chan error // the result of Serve
}

func serve(t *testing.T, s *Server, o Owner) *instance {
	t.Helper()
	return serveAs(t, s, NewPeer(o))
}

func serveAs(t *testing.T, s *Server, p *Peer) *instance {
	t.Helper()
	here, there := net.Pipe()
	i := &instance{t: t, conn: here, done: make(chan error, 1)}
	go func() { i.done <- s.Serve(t.Context(), there, p) }()
	t.Cleanup(func() { here.Close() })
	return i
}

func (i *instance) send(r request, body []byte) {
	i.t.Helper()
	head, err := encodeHead(r, int64(len(body)))
	if err != nil {
		i.t.Fatal(err)
	}
	if _, err := i.conn.Write(append(head, body...)); err != nil {
		i.t.Fatal(err)
	}
}

func (i *instance) ask(r request, body []byte) (reply, string) {
	i.t.Helper()
	i.send(r, body)
	var got reply
	size, err := readHead(i.conn, &got)
	if err != nil {
		i.t.Fatal(err)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(i.conn, text); err != nil {
		i.t.Fatal(err)
	}
	return got, string(text)
}

func (i *instance) expect(status string, r request, body string) {
	i.t.Helper()
	if got, _ := i.ask(r, []byte(body)); got.Status != status || got.ID != r.ID {
		i.t.Errorf("%s of %q: %+v, want %s", r.Op, r.Key, got, status)
	}
}

func TestAChannelReadsAndWritesTheValuesOfItsOwner(t *testing.T) {
	m := newMemory()
	s := NewServer(m)
	a, b := serve(t, s, Owner{"prj_a", "dpl_a"}), serve(t, s, Owner{"prj_b", "dpl_b"})
	a.expect("miss", request{ID: 1, Op: opGet, Key: "k"}, "")
	a.expect("done", request{ID: 2, Op: opPut, Key: "k", Meta: "m"}, "value")
	if got, body := a.ask(request{ID: 3, Op: opGet, Key: "k"}, nil); got != (reply{3, "fresh", 7, "m"}) || body != "value" {
		t.Errorf("read %+v %q", got, body)
	}
	// The words of an instance do not choose the owner.
	of := &Owner{"prj_a", "dpl_a"}
	b.expect("miss", request{ID: 1, Op: opGet, Key: "k", Owner: of}, "")
	b.expect("done", request{ID: 2, Op: opPut, Key: "k", Owner: of}, "other")
	b.expect("done", request{ID: 3, Op: opInvalidate, Tags: []string{"x", "y"}, Owner: of}, "")
	if _, body := a.ask(request{ID: 4, Op: opGet, Key: "k"}, nil); body != "value" {
		t.Errorf("the other deployment has replaced the value by %q", body)
	}
	if len(m.told) != 1 || m.told[0] != "dpl_b x,y -1ns" {
		t.Errorf("invalidated %q", m.told)
	}
	b.expect("refused", request{ID: 5, Op: "drop", Key: "k"}, "")
	m.mu.Lock()
	m.fail = errors.New("no disk")
	m.mu.Unlock()
	for n, op := range []string{opGet, opPut, opInvalidate} {
		a.expect("unavailable", request{ID: uint64(10 + n), Op: op, Key: "k"}, "")
	}
}

func TestValuesPastALimitAreNotStored(t *testing.T) {
	m := newMemory()
	i := serve(t, NewServer(m), Owner{"prj_a", "dpl_a"})
	zero := 0.0
	i.expect("done", request{ID: 1, Op: opPut, Key: "k", Tags: []string{strings.Repeat("x,", MaxTags/2-1)}}, "")
	delete(m.values, "dpl_a/k")
	for name, r := range map[string]request{
		"tags at commas": {Key: "k", Tags: []string{strings.Repeat("x,", MaxTags/2), strings.Repeat("x,", MaxTags/2)}},
		"key":            {Key: strings.Repeat("k", MaxKey+1)}, "no key": {}, "meta": {Key: "k", Meta: strings.Repeat("m", MaxMeta+1)},
		"tags": {Key: "k", Tags: make([]string, MaxTags+1)}, "tag": {Key: "k", Tags: []string{strings.Repeat("ü", MaxTag+1)}},
		"lifetime": {Key: "k", Usable: &zero},
	} {
		r.ID, r.Op = 1, opPut
		i.expect("refused", r, "value of "+name)
	}
	i.expect("done", request{ID: 2, Op: opPut, Key: strings.Repeat("k", MaxKey), Tags: []string{strings.Repeat("ü", MaxTag)}, Meta: strings.Repeat("m", MaxMeta)}, "")
	if len(m.values) != 1 {
		t.Errorf("stored %d", len(m.values))
	}
}

func TestWritesOfAnInstanceAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		i := serve(t, NewServer(m), Owner{"prj_a", "dpl_a"})
		body, stored := make([]byte, MaxValue), 0
		for n := range 2 * writeBurst / MaxValue {
			if got, _ := i.ask(request{ID: uint64(n), Op: opPut, Key: "k"}, body); got.Status == statusDone {
				stored++
			}
		}
		if stored != writeBurst/MaxValue {
			t.Errorf("%d values stored at once", stored)
		}
		time.Sleep(time.Second)
		i.expect("done", request{ID: 1, Op: opPut, Key: "k"}, string(body))
		i.conn.Close()
		<-i.done
	})
}

func TestAChannelThatBreaksTheProtocolEnds(t *testing.T) {
	for name, text := range map[string]string{
		"long head": "\x7f\xff\xff\xff\x00\x00\x00\x00", "long body": "\x00\x00\x00\x02\x7f\xff\xff\xff{}",
		"not JSON": "\x00\x00\x00\x02\x00\x00\x00\x00!!", "HTTP": "HTTP/1.1 200 OK\r\n\r\n",
	} {
		i := serve(t, NewServer(newMemory()), Owner{"prj_a", "dpl_a"})
		go func() { _, _ = i.conn.Write([]byte(text)) }()
		if err := <-i.done; !errors.Is(err, errProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	i := serve(t, NewServer(newMemory()), Owner{"prj_a", "dpl_a"})
	i.conn.Close()
	if err := <-i.done; err != nil {
		t.Errorf("an end: %v", err)
	}
}

func TestAnInstanceIsSlowedDownAcrossItsChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, body := NewServer(newMemory()), NewPeer(Owner{"prj_a", "dpl_a"}), make([]byte, MaxValue)
		stored := 0
		for range 2 * writeBurst / MaxValue {
			i := serveAs(t, s, p)
			if got, _ := i.ask(request{ID: 1, Op: opPut, Key: "k"}, body); got.Status == statusDone {
				stored++
			}
			i.conn.Close()
			<-i.done
		}
		if stored != writeBurst/MaxValue {
			t.Errorf("%d values stored at once", stored)
		}
	})
}

func TestAnInstanceIsSlowedDownInItsInvalidations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		i := serve(t, NewServer(m), Owner{"prj_a", "dpl_a"})
		began, n := time.Now(), 2*writeBurst/minCost
		for range n {
			i.expect("done", request{ID: 1, Op: opInvalidate, Tags: []string{"x"}}, "")
		}
		if took := time.Since(began); took < 7*time.Second || len(m.told) != n {
			t.Errorf("%d of %d in %v", len(m.told), n, took)
		}
		i.conn.Close()
		<-i.done
	})
}

func TestTagsAreCountedAtTheirCommas(t *testing.T) {
	m := newMemory()
	i := serve(t, NewServer(m), Owner{"prj_a", "dpl_a"})
	many := strings.Repeat("x,", maxTags)
	i.expect("done", request{ID: 1, Op: opInvalidate, Tags: []string{"a,b", many, "c"}}, "")
	if m.told[0] != "dpl_a a,b -1ns" {
		t.Errorf("invalidated %.60q", m.told)
	}
	i.expect("refused", request{ID: 2, Op: opGet, Key: "k", Tags: []string{many}}, "")
	i.expect("miss", request{ID: 3, Op: opGet, Key: "k", Tags: []string{many[2:]}}, "")
}

func TestAnInstanceThatSendsAPartOfAFrameIsCutOff(t *testing.T) {
	for name, cut := range map[string]int{"of the head": prefix + 4, "of the body": 1000} {
		synctest.Test(t, func(t *testing.T) {
			s := NewServer(newMemory())
			i := serve(t, s, Owner{"prj_a", "dpl_a"})
			time.Sleep(time.Hour) // between frames there is no time limit
			head, err := encodeHead(request{ID: 1, Op: opPut, Key: "k"}, MaxValue)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := i.conn.Write(append(head, make([]byte, MaxValue)...)[:cut]); err != nil {
				t.Fatal(err)
			}
			<-i.done
			if took := time.Since(began); took != frameTimeout || s.received.Free() != maxReceived {
				t.Errorf("a part %s: after %v, with %d bytes free", name, took, s.received.Free())
			}
		})
	}
}

func TestTheValuesThatTenantsDoNotReadAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.values["dpl_a/k"], m.values["dpl_b/k"] = Item{Body: make([]byte, MaxValue)}, Item{Body: []byte("value")}
		s := NewServer(m)
		var of []*instance
		for range 2 * maxSent / MaxValue {
			i := serve(t, s, Owner{"prj_a", "dpl_a"})
			i.send(request{ID: 1, Op: opGet, Key: "k"}, nil)
			of = append(of, i)
		}
		synctest.Wait()
		if s.sent.Held("prj_a") != maxSent/2 {
			t.Errorf("%d bytes wait", s.sent.Held("prj_a"))
		}
		if got, body := serve(t, s, Owner{"prj_b", "dpl_b"}).ask(request{ID: 1, Op: opGet, Key: "k"}, nil); got.Status != "fresh" || body != "value" {
			t.Errorf("another project reads %+v", got)
		}
		for _, i := range of {
			i.conn.Close()
			<-i.done
		}
		if s.sent.Free() != maxSent {
			t.Errorf("%d bytes are free", s.sent.Free())
		}
	})
}

// stuck is a cache whose writes wait for the end of the channel.
type stuck struct{ *memory }

func (s stuck) Put(ctx context.Context, _ Owner, _ string, _ Item) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

func TestATenantLeavesOthersRoomOnALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Remote
		here, there := net.Pipe()
		go func() { _ = NewServer(stuck{newMemory()}).ServeRemote(t.Context(), there) }()
		go r.Attach(here)
		synctest.Wait()
		var writes sync.WaitGroup
		for range 2 * perLink {
			writes.Go(func() { _, _ = r.Put(t.Context(), Owner{"prj_a", "dpl_a"}, "k", Item{}) })
		}
		synctest.Wait()
		if v, err := r.Get(t.Context(), Owner{"prj_b", "dpl_b"}, "k", nil); err != nil || v.State != Miss {
			t.Errorf("another project reads %+v, %v", v, err)
		}
		r.Close()
		writes.Wait()
	})
}

func TestAValueWithALongMetaIsRead(t *testing.T) {
	i := serve(t, NewServer(newMemory()), Owner{"prj_a", "dpl_a"})
	for _, c := range []string{"<", "&", "\u2028", "\x7f"} {
		meta := strings.Repeat(c, MaxMeta/len(c))
		i.expect("done", request{ID: 1, Op: opPut, Key: "k", Meta: meta}, "")
		if got, _ := i.ask(request{ID: 2, Op: opGet, Key: "k"}, nil); got.Meta != meta {
			t.Errorf("of %q: %.60q", c, got.Meta)
		}
	}
}

func TestAnInstanceThatDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := serve(t, NewServer(newMemory()), Owner{"prj_a", "dpl_a"})
		began := time.Now()
		i.send(request{ID: 1, Op: opGet, Key: "k"}, nil)
		<-i.done
		if took := time.Since(began); took != frameTimeout {
			t.Errorf("after %v", took)
		}
	})
}

func TestARemoteIsTheCacheOfAnotherProcess(t *testing.T) {
	m := newMemory()
	r := new(Remote)
	o, other := Owner{"prj_a", "dpl_a"}, Owner{"prj_b", "dpl_b"}
	if _, err := r.Get(t.Context(), o, "k", nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a connection: %v", err)
	}
	attach := func() net.Conn {
		here, there := net.Pipe()
		go func() { _ = NewServer(m).ServeRemote(t.Context(), there) }()
		go r.Attach(here)
		for { // until it is attached
			if _, err := r.Get(t.Context(), o, "none", nil); err == nil {
				return here
			}
			if t.Context().Err() != nil {
				t.Fatal("not attached")
			}
		}
	}
	conn := attach()
	if ok, err := r.Put(t.Context(), o, "k", Item{Body: []byte("value"), Meta: "m", Tags: []string{"x"}, Started: 1 << 60, Usable: time.Minute}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if v := m.values["dpl_a/k"]; v.Started != 1<<60 || v.Usable != time.Minute || v.Tags[0] != "x" {
		t.Errorf("stored %+v", v)
	}
	v, err := r.Get(t.Context(), o, "k", []string{"soft"})
	if err != nil || v.State != Fresh || v.Now != 7 || v.Meta != "m" {
		t.Fatalf("read %+v, %v", v, err)
	}
	if body, _ := io.ReadAll(v.Body); string(body) != "value" {
		t.Errorf("read %q", body)
	}
	if v, err := r.Get(t.Context(), other, "k", nil); err != nil || v.State != Miss {
		t.Errorf("another owner reads %+v, %v", v, err)
	}
	for _, grace := range []time.Duration{-1, 0, time.Second} {
		if err := r.Invalidate(t.Context(), o, Invalidation{Tags: []string{"x"}, Grace: grace, ID: " n"}); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(m.told, "; "); got != "dpl_a x -1ns n; dpl_a x 0s n; dpl_a x 1s n" {
		t.Errorf("invalidated %q", got)
	}
	conn.Close()
	attach()
	if v, err := r.Get(t.Context(), o, "k", nil); err != nil || v.State != Fresh {
		t.Errorf("after another connection: %+v, %v", v, err)
	}
	r.Close()
	if _, err := r.Get(t.Context(), o, "k", nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after the end: %v", err)
	}
}
