package local

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestABlockedEventLoopIsSaidOnce(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Templates = -1 })
	i := s.start(s.function("blocks", "nodejs24.x", "module.exports = () => { console.log('in'); for (;;); };\n"), "")
	said := func(text string) (n int) {
		for _, line := range s.logs.Lines() {
			if strings.Contains(line.Text, text) {
				n++
			}
		}
		return n
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var asked sync.WaitGroup
	for range 8 {
		asked.Go(func() {
			_, err := i.RoundTrip(to(t, http.MethodGet, "http://example.com/", nil).WithContext(ctx))
			if !errors.Is(err, lateen.ErrFunctionTimeout) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	waitFor(t, "it hangs", func() bool { return i.Busy() == 8 && said("in") == 1 })
	cancel(lateen.ErrFunctionTimeout)
	asked.Wait()
	<-i.exited
	end(i)
	if n := said("blocks its event loop"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}
