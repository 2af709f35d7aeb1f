package egress

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen/internal/netdev"
)

// The test has one project with many users, one with a single user, and one
// whose moves have a fourth of the bytes. [fairqueue.Clock] counts bytes, so a
// project whose turn moved fewer bytes has its next turn sooner.
func TestProjectsMoveEqualBytesWithAnyNumberOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rounds = 400
		pool := newBuffers(1)
		many, one, small := &project{name: "many"}, &project{name: "one"}, &project{name: "small"}
		bytes := map[*project]int{many: int(chunkBytes), one: int(chunkBytes), small: int(chunkBytes) / 4}
		moved := map[*project]int{}
		type taken struct {
			p   *project
			buf *netdev.Buffer
		}
		got := make(chan taken)
		ask := func(p *project) { go func() { got <- taken{p, pool.get(p)} }() }
		first := pool.get(one)
		for range 100 {
			ask(many)
		}
		ask(one)
		ask(small)
		synctest.Wait()
		pool.put(one, first, 0)
		for range rounds {
			next := <-got
			moved[next.p] += bytes[next.p]
			ask(next.p)
			synctest.Wait()
			pool.put(next.p, next.buf, bytes[next.p])
		}
		total := moved[many] + moved[one] + moved[small]
		for p, n := range moved {
			if share := float64(n) / float64(total); share < 0.30 || share > 0.37 {
				t.Errorf("%s moved %.2f of all bytes, want a third", p.name, share)
			}
		}
		for range 102 { // the remaining waiting users
			next := <-got
			pool.put(next.p, next.buf, 0)
		}
		if pool.left != 1 || len(pool.idle) != 1 || len(pool.waiting) != 0 {
			t.Errorf("in the end %d buffers are unused, %d are idle, %d projects wait", pool.left, len(pool.idle), len(pool.waiting))
		}
	})
}

func TestAQuotaCountsAgainstItsParents(t *testing.T) {
	all := &quota{limit: 100}
	one, other := &quota{parent: all, limit: 60}, &quota{parent: all, limit: 60}
	for _, step := range []struct {
		of   *quota
		n    int64
		want bool
		free int64
	}{{one, 61, false, 60}, {one, 60, true, 0}, {other, 41, false, 40}, {other, 30, true, 10}, {other, 30, false, 10}, {one, 1, false, 0}} {
		if got := step.of.take(step.n); got != step.want || step.of.free() != step.free {
			t.Errorf("take(%d) is %v and leaves %d, want %v and %d", step.n, got, step.of.free(), step.want, step.free)
		}
	}
	one.give(60)
	other.give(30)
	if one.held.Load() != 0 || other.held.Load() != 0 || all.held.Load() != 0 {
		t.Errorf("%d, %d and %d are held in the end", one.held.Load(), other.held.Load(), all.held.Load())
	}
}

func TestOneProjectHasAtMostHalfOfEachResource(t *testing.T) {
	a, _ := harness(t, Options{All: 100, AllBytes: 64 << 20, Connections: 1000, Flows: 1000})
	b, _ := attached(t, a.network)
	c, _ := attached(t, a.network)
	a.Permit(Grant{Project: "one"})
	b.Permit(Grant{Project: "one"})
	c.Permit(Grant{Project: "other"})
	streams := map[*Attachment]int{}
	for range 60 {
		for _, of := range []*Attachment{a, b, c} {
			if _, _, ok := of.admitStream(); ok {
				streams[of]++
			}
		}
	}
	if streams[a]+streams[b] > 50 || streams[c] != 50 {
		t.Errorf("there are %d and %d connections of one project beside %d of another, want 50 of each", streams[a], streams[b], streams[c])
	}
	one, other := a.project.Load(), c.project.Load()
	if one != b.project.Load() || one == other || one.bytes.held.Load() > 32<<20 || a.network.bytes.held.Load() > 64<<20 {
		t.Errorf("%d bytes are held for one project, %d for all", one.bytes.held.Load(), a.network.bytes.held.Load())
	}
	for range allQueries {
		a.admitQuery()
		b.admitQuery()
	}
	if a.queries.held.Load() > maxQueries || one.queries.held.Load() > allQueries/2 {
		t.Errorf("%d queries of one attachment are in progress, %d of its project", a.queries.held.Load(), one.queries.held.Load())
	}
	c.Close()
	if _, there := a.network.projects.byName["other"]; there {
		t.Error("a project without attachments is not removed")
	}
}

func TestFragmentsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Options{})
		a := newAttachment(t.Context(), func() {}, n)
		four, six := syn(), append([]byte("\x60\x00\x00\x00\x00\x14\x2c\x40"), make([]byte, 32)...)
		four[6] = 0x20 // the "more fragments" flag
		whole := syn()
		if !isFragment(four) || !isFragment(six) || isFragment(whole) {
			t.Error("fragments are not distinguished from whole packets")
		}
		if a.admitFragment(1000) {
			t.Error("a fragment is admitted before Permit")
		}
		a.Permit(Grant{})
		kept := 0
		for a.admitFragment(60000) {
			kept += 60000
		}
		for a.admitFragment(1) {
			kept += minFragmentBytes
		}
		if now, _ := a.Held(); kept > maxFragmentBytes || now != int64(kept) {
			t.Errorf("%d bytes of fragments are admitted, %d are held", kept, now)
		}
		time.Sleep(fragmentTime)
		synctest.Wait()
		if now, _ := a.Held(); now != 0 {
			t.Errorf("%d bytes are held after the stack has dropped the fragments", now)
		}
	})
}
