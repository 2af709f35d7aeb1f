package control_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
)

// together is a reader of a text that waits, before its end, for the other readers.
type together struct {
	io.Reader

	all *sync.WaitGroup
	one sync.Once
}

func (r *together) Read(b []byte) (int, error) {
	r.one.Do(func() { r.all.Done(); r.all.Wait() })
	return r.Reader.Read(b)
}

// The quota is 1,000 bytes. Of ten concurrent files of 300 bytes, three are
// accepted, as if they came in sequence.
func TestTheStorageOfATeamIsBoundedForConcurrentUploads(t *testing.T) {
	t.Run("announced", func(t *testing.T) { atOnce(t, true) })
	t.Run("not announced", func(t *testing.T) { atOnce(t, false) })
}

func atOnce(t *testing.T, announced bool) {
	t.Helper()
	c := newTester(t, func(o *control.Options) { o.TeamBytes = 1000 })
	var all, done sync.WaitGroup
	if !announced { // announced sizes are refused before the read
		all.Add(10)
	}
	for i := range 10 {
		done.Go(func() {
			text := fmt.Sprintf("%0300d", i)
			body, size := io.Reader(strings.NewReader(text)), int64(300)
			if !announced {
				body, size = &together{Reader: body, all: &all}, -1
			}
			_ = c.Upload(c.ctx, sha(text), size, body) // some are refused
		})
	}
	done.Wait()
	held, err := c.Store.SumHoldings(t.Context(), lateen.PrincipalFrom(c.ctx).Team)
	if err != nil || held > 1000 || announced && held < 300 {
		t.Errorf("announced %v: the team stores %d bytes, %v", announced, held, err)
	}
	if err := c.Upload(c.ctx, sha("x"), 1, strings.NewReader("x")); err != nil {
		t.Errorf("a refused upload still uses the quota: %v", err)
	}
}

// The cached usage of a team equals the stored usage, also if it is read during a
// write.
func TestTheStorageOfATeamIsCountedOnce(t *testing.T) {
	c := newTester(t, func(o *control.Options) { o.TeamBytes = 1 << 20 })
	var done sync.WaitGroup
	for i := range 200 {
		done.Go(func() {
			text := fmt.Sprintf("%0100d", i)
			if err := c.Upload(c.ctx, sha(text), 100, strings.NewReader(text)); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	team := lateen.PrincipalFrom(c.ctx).Team
	held, err := c.Store.SumHoldings(t.Context(), team)
	if err != nil {
		t.Fatal(err)
	}
	left := 1<<20 - held
	if err := c.Upload(c.ctx, sha(strings.Repeat("y", int(left)+1)), left+1, strings.NewReader("")); err == nil {
		t.Error("the read of a file larger than the free quota began")
	}
	rest := strings.Repeat("y", int(left))
	if err := c.Upload(c.ctx, sha(rest), left, strings.NewReader(rest)); err != nil {
		t.Errorf("a file of the size of the free quota: %v", err)
	}
}
