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

// together is a reader of a text that waits, before its end, for the others.
type together struct {
	io.Reader

	all *sync.WaitGroup
	one sync.Once
}

func (r *together) Read(b []byte) (int, error) {
	r.one.Do(func() { r.all.Done(); r.all.Wait() })
	return r.Reader.Read(b)
}

// A team may bring 1,000 bytes. Ten files of 300 that come at once are no more than
// the three of them that came one after the other would be.
func TestTheStorageOfATeamIsBoundedForWhatComesAtOnce(t *testing.T) {
	t.Run("announced", func(t *testing.T) { atOnce(t, true) })
	t.Run("not announced", func(t *testing.T) { atOnce(t, false) })
}

func atOnce(t *testing.T, announced bool) {
	t.Helper()
	c := newTester(t, func(o *control.Options) { o.TeamBytes = 1000 })
	var all, done sync.WaitGroup
	if !announced { // those that are announced are refused before they are read
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
		t.Errorf("announced %v: the team has brought %d bytes, %v", announced, held, err)
	}
	if err := c.Upload(c.ctx, sha("x"), 1, strings.NewReader("x")); err != nil {
		t.Errorf("what was refused takes room still: %v", err)
	}
}

// What is known of a team's storage is what the store says, whoever asks while
// content is noted.
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
		t.Error("a file that is larger than what is left was begun")
	}
	rest := strings.Repeat("y", int(left))
	if err := c.Upload(c.ctx, sha(rest), left, strings.NewReader(rest)); err != nil {
		t.Errorf("a file of what is left: %v", err)
	}
}
