package site

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestAChangeOfSeveralHostsIsSeenWhole(t *testing.T) {
	table := NewHostTable()
	both := func(d lateen.DeploymentID) map[string]lateen.Binding {
		return map[string]lateen.Binding{"a.example": {Deployment: d}, "b.example": {Deployment: d}}
	}
	table.Put(both("0"))
	var done atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		defer done.Store(true)
		for n := range 2000 {
			table.Put(both(lateen.DeploymentID(fmt.Sprint(n % 2))))
		}
	})
	for !done.Load() {
		s := table.snapshot.Load()
		a, b := s[table.shard("a.example")]["a.example"], s[table.shard("b.example")]["b.example"]
		if a != b {
			t.Fatalf("one host leads to %v and the other to %v", a, b)
		}
	}
	all.Wait()
}

func TestTheHostTableIgnoresCasePortAndFinalDot(t *testing.T) {
	table := NewHostTable()
	table.Put(map[string]lateen.Binding{"WWW.Example.com.": {Deployment: "dpl_1"}})
	if to, ok := table.Get("www.example.com"); !ok || to.Deployment != "dpl_1" {
		t.Errorf("it leads to %v, %v", to, ok)
	}
	table.Put(map[string]lateen.Binding{"www.example.com:443": {}, "absent.example.com": {}})
	if to, ok := table.Get("www.example.com"); ok {
		t.Errorf("it still leads to %v", to)
	}
}

// BenchmarkHostTable measures look-ups and changes of one host among many.
func BenchmarkHostTable(b *testing.B) {
	for _, hosts := range []int{100, 10_000, 200_000} {
		table := NewHostTable()
		all := make(map[string]lateen.Binding, hosts)
		names := make([]string, hosts)
		for i := range names {
			names[i] = fmt.Sprintf("project-%d-team.example.com", i)
			all[names[i]] = lateen.Binding{Deployment: "dpl_1"}
		}
		table.Put(all)
		b.Run(fmt.Sprintf("get/%d", hosts), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, ok := table.Get(names[i%hosts]); !ok {
					b.Fatal("a host is missing")
				}
			}
		})
		b.Run(fmt.Sprintf("put/%d", hosts), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				table.Put(map[string]lateen.Binding{names[i%hosts]: {Deployment: "dpl_2"}})
			}
		})
	}
}
